"""A picture of the app as a visitor sees it: some pictures classified, with the maps of every layer."""

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Of the page, in CSS pixels; the picture is as large.
WIDTH, HEIGHT = 1440, 960
#: The built-in examples to classify, by the beginnings of their names.
SHOWN = ("dog", "horse")


def take(weights: Path, out: Path) -> None:
    """Write a PNG picture of the app that serves `weights`, as a fresh clone shows it.

    Raises:
        FileNotFoundError: If there is no Chromium on this machine.
        RuntimeError: If the app does not start.
    """
    from playwright.sync_api import expect, sync_playwright

    from cifar_space import example_paths

    shown = [str(next(path for path in example_paths() if path.name.startswith(name))) for name in SHOWN]
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    browser = next(filter(None, found), None)
    if browser is None:
        raise FileNotFoundError("there is no chromium on this machine (Debian: apt-get install chromium)")
    with _serving(weights) as address, sync_playwright() as driver:
        # Containers often run as root, which Chromium's sandbox refuses, and have little shared memory.
        opened = driver.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.goto(f"{address}?__theme=light")
        page.locator("#examples img").first.wait_for()
        page.locator("#pictures input[type=file]").first.set_input_files(shown)
        expect(page.locator("#results .card")).to_have_count(len(shown))
        layers = page.locator("#layers input[type=checkbox]")
        for number in range(layers.count()):
            layers.nth(number).check()
        expect(page.locator("#results .heat")).to_have_count(len(shown) * layers.count())
        # What shows progress fades, and the pointer leaves its mark on what it is over.
        page.mouse.move(0, 0)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        page.screenshot(path=out)
        opened.close()


@contextlib.contextmanager
def _serving(weights: Path) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    code = "import sys; from cifar_space.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "--weights", str(weights), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline()
            if "http://" not in told:
                raise RuntimeError(f"cifar-space did not start: {told.strip() or 'see above'}")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
