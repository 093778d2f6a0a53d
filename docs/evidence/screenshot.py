"""A screenshot of the app: two images classified, with the maps of every layer."""

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: The example images to classify, by the beginnings of their names.
SHOWN = ("dog", "horse")


def take(weights: Path, out: Path) -> None:
    """Write a PNG screenshot of the app that serves `weights`.

    Raises:
        FileNotFoundError: If there is no Chromium on this machine.
        RuntimeError: If the app does not start.
    """
    from playwright.sync_api import expect, sync_playwright

    from cifar_space import example_paths

    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    if not any(found):
        raise FileNotFoundError("there is no chromium on this machine (Debian: apt-get install chromium)")
    shown = [str(next(path for path in example_paths() if path.name.startswith(name))) for name in SHOWN]
    expect.set_options(timeout=60_000)
    with _serving(weights) as address, sync_playwright() as driver:
        # Containers often run as root, which Chromium's sandbox refuses, and have little shared memory.
        browser = driver.chromium.launch(
            executable_path=next(filter(None, found)), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 960}, color_scheme="light")
        page.goto(f"{address}?__theme=light")
        page.locator("#pictures input[type=file]").first.set_input_files(shown)
        expect(page.locator("#results .card")).to_have_count(len(shown))
        layers = page.locator("#layers input[type=checkbox]")
        for number in range(layers.count()):
            layers.nth(number).check()
        expect(page.locator("#results .heat")).to_have_count(len(shown) * layers.count())
        # The progress bar fades, and the pointer highlights what it is over.
        page.mouse.move(0, 0)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        page.screenshot(path=out)
        browser.close()


@contextlib.contextmanager
def _serving(weights: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("cifar-space"), "--weights", weights, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if "http://" not in line:
                raise RuntimeError(f"cifar-space did not start: {line.strip() or 'see above'}")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
