"""Measure the Space with real clients: start, one picture, opacity, and many clients at once.

    uv run python benchmarks/bench_space.py [--quick] [--json FILE] [--only start picture opacity load]

`start` runs the command `cifar-space` and opens its page in Chromium; `picture` classifies pictures that were never
seen before and explains four layers of resnet9 with random weights, in the service itself and through the API;
`opacity` moves the page's control and waits for the painted frame; `load` lets 50 clients use all endpoints at once
and compares each answer with that which the server gave to one client alone. Ends with status 1 if a target is missed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from space_load import Server, measure_load

from cifar_explain import evaluate, make_gallery, write_gallery
from cifar_models import CIFAR10, create_model, save_weights
from cifar_space import Options, load_service

# One row of the table: what, measured, target (None for information), whether it is met.
Row = tuple[str, str, str, bool]

# Sets the control as a hand would, and resolves with the milliseconds until the frame with the new opacity is painted.
_MOVE_OPACITY = """
([control, value]) => new Promise((resolve) => {
  const heat = document.querySelector('img.heat');
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  const started = performance.now();
  const watch = new MutationObserver(() => {
    if (Number(getComputedStyle(heat).opacity).toFixed(2) !== Number(value).toFixed(2)) return;
    watch.disconnect();
    requestAnimationFrame(() => {
      const painted = new MessageChannel();
      painted.port1.onmessage = () => resolve(performance.now() - started);
      painted.port2.postMessage(null);
    });
  });
  watch.observe(document.documentElement, {attributes: true, subtree: true, attributeFilter: ['style']});
  set.call(control, value);
  control.dispatchEvent(new Event('input', {bubbles: true}));
  setTimeout(() => resolve(-1), 5000);
})
"""


def make_run(folder: Path, *, images: int) -> Path:
    """Write a run: resnet9 with random weights, and the gallery of its predictions for random images."""
    torch.manual_seed(0)
    model = create_model("resnet9").eval()
    sha256 = save_weights(folder / "model.safetensors", model, architecture="resnet9")
    drawn = np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    labels = drawn.integers(0, 10, images)
    evaluation = evaluate(model, CIFAR10.normalize(pixels), labels)
    gallery = make_gallery(
        evaluation.probabilities, labels, pixels, class_names=CIFAR10.classes, weights_sha256=sha256
    )
    write_gallery(gallery, folder / "gallery")
    return folder


def new_pictures(folder: Path, count: int) -> list[Path]:
    """Write pictures of noise, of the size of a photo that a visitor may have."""
    drawn = np.random.default_rng(time.time_ns())
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        small = drawn.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.NEAREST).save(path)
    return paths


@contextmanager
def browser() -> Iterator[Browser]:
    """Give Chromium, that of the system where there is one."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


def open_page(chromium: Browser, url: str) -> Page:
    """Return the page once a visitor could begin: its examples are there to be clicked."""
    page = chromium.new_page()
    page.goto(url, wait_until="domcontentloaded")
    page.locator("#examples img").first.wait_for(state="visible")
    return page


def measure_start(options: argparse.Namespace, _: Path) -> tuple[list[Row], dict[str, Any]]:
    """Time from the command to the page, with what comes with the app."""
    served, usable = [], []
    with browser() as chromium:
        for _ in range(1 if options.quick else 3):
            started = time.perf_counter()
            with Server([]) as server:
                served.append(time.perf_counter() - started)
                open_page(chromium, server.url).close()
                usable.append(time.perf_counter() - started)
    worst = max(usable)
    rows: list[Row] = [
        (
            "command to first usable page",
            f"{statistics.median(usable):.1f} s, at most {worst:.1f}",
            "<= 15 s",
            worst <= 15,
        )
    ]
    return rows, {"served_seconds": served, "usable_seconds": usable}


def measure_picture(options: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Time one new picture with maps of four layers of resnet9."""
    count = 20 if options.quick else 100
    service = load_service(folder / "run" / "model.safetensors")
    layers = service.layers[:4]
    inside = milliseconds(
        new_pictures(folder, count), lambda path: service.answer([path], Options(layers=layers))
    )
    with Server(["--run", str(folder / "run")]) as server:
        client = Client(server.url, verbose=False, analytics_enabled=False)

        def ask(path: Path) -> None:
            client.predict(images=[handle_file(path)], layers=list(layers), api_name="/classify")

        outside = milliseconds(new_pictures(folder, count), ask)
        client.close()
    middle = statistics.median(inside)
    rows: list[Row] = [
        ("one new picture, four layers, at the server: p50", spread(inside), "<= 150 ms", middle <= 150),
        ("the same with upload and queue, for a client: p50", spread(outside), "", True),
    ]
    return rows, {"server_milliseconds": inside, "client_milliseconds": outside, "layers": layers}


def measure_opacity(options: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Time from moving the control to the painted frame, in the browser."""
    with Server(["--run", str(folder / "run")]) as server, browser() as chromium:
        page = open_page(chromium, server.url)
        page.locator("#examples img").first.click()
        page.locator("img.heat").first.wait_for(state="visible")
        page.wait_for_timeout(1000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        control = page.get_by_role("slider", name="Opacity").first.element_handle()
        values = [str(round(0.05 * (step % 19 + 1), 2)) for step in range(20 if options.quick else 60)]
        times = [float(page.evaluate(_MOVE_OPACITY, [control, value])) for value in values]
        page.close()
    if min(times) < 0:
        raise RuntimeError("the opacity of the maps did not follow the control")
    middle = statistics.median(times)
    rows: list[Row] = [
        ("opacity, from the control to the painted frame: p50", spread(times), "<= 60 ms", middle <= 60),
        ("requests to the server meanwhile", str(len(asked)), "0", not asked),
    ]
    return rows, {"milliseconds": times, "requests": asked}


def measure_many(options: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Let many clients use all endpoints at once."""
    found = measure_load(
        folder / "run",
        new_pictures(folder, options.clients),
        seconds=15 if options.quick else options.seconds,
    )
    rows: list[Row] = [
        (
            f"{options.clients} clients for {found.seconds:.0f} s: answers",
            f"{found.answers:,}",
            "",
            found.answers > 0,
        ),
        ("errors", str(len(found.errors)), "0", not found.errors),
        ("wrong or foreign answers", str(found.wrong), "0", found.wrong == 0),
        (
            "memory of the server, second to last quarter",
            f"{found.memory_mib[0]:.0f} to {found.memory_mib[1]:.0f} MiB, at most {max(found.series_mib):.0f}",
            # Seconds are too short to tell: at first the memory of maps fills up, to a limit of its own.
            "" if options.quick else "+ 5 %",
            options.quick or found.memory_mib[1] <= 1.05 * found.memory_mib[0],
        ),
    ]
    rows += [
        (f"waiting for {name}: p50", spread(times), "", True)
        for name, times in sorted(found.milliseconds.items())
    ]
    return rows, vars(found)


def milliseconds(paths: list[Path], ask: Callable[[Path], object]) -> list[float]:
    """Return how long each of the pictures takes, after one that does not count."""
    times = []
    for path in paths:
        started = time.perf_counter()
        ask(path)
        times.append(1000 * (time.perf_counter() - started))
    return times[1:]


def spread(times: list[float]) -> str:
    """Return the median and the 95th percentile as text."""
    return f"{statistics.median(times):.0f} ms (p95 {np.percentile(times, 95):.0f}, n {len(times)})"


PARTS = {"start": measure_start, "picture": measure_picture, "opacity": measure_opacity, "load": measure_many}


def main() -> int:
    """Return the exit status: 0 if all targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and 15 s of load")
    parser.add_argument("--clients", type=int, default=50, help="clients at once (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="how long they ask (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    options = parser.parse_args()
    about = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        **{name: version(name) for name in ("torch", "gradio", "cifar-space")},
        "python": platform.python_version(),
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    rows: list[Row] = []
    measured: dict[str, Any] = {"about": about}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "run").mkdir()
        make_run(folder / "run", images=300)
        for name in options.only:
            new, measured[name] = PARTS[name](options, folder)
            for label, value, target, met in new:
                verdict = "" if not target else "ok" if met else "MISSED"
                print(f"{label:<54} {value:<34} {target:<10} {verdict}", flush=True)
            rows += new
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1, default=list) + "\n")
    return 0 if all(met for *_, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
