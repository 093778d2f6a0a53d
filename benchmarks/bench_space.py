"""The Space under load: 50 clients at once, and one beside a heavy request, each against one client alone.

    uv run python benchmarks/bench_space.py [--quick] [--clients 50] [--seconds 120] [--out FILE]

resnet9 with random weights is served. Each client classifies its own image, looks at misclassified images and asks for
the model's facts; each answer must equal the one that a client alone got from a fresh server. The heavy request is the
heaviest allowed: 16 images, all layers, each method in turn. The exit status is 1 if answers are wrong, requests fail,
the server grows by more than 5 % from the second to the last quarter of at least a minute, or a client waits for more
than a second beside the heavy request (95th percentile).
"""

import itertools
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from gradio_client import Client, handle_file
from PIL import Image

from cifar_explain import METHODS, evaluate, make_gallery, write_gallery
from cifar_models import CIFAR10, create_model, save_weights

# An endpoint and its arguments.
Request = tuple[str, dict[str, Any]]
Times = defaultdict[str, list[float]]


@contextmanager
def serve(run: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Runs `cifar-space` until the end of the block and gives its address and process."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    command = [harness.installed("cifar-space"), "--port", str(port), "--run", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or url not in (line := process.stdout.readline()):
            raise RuntimeError(f"the server did not start: {line}")
        # A full pipe would stop the server.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield url, process
    finally:
        process.terminate()
        process.wait(30)


def make_run(folder: Path, *, images: int = 300) -> None:
    """Writes a run of resnet9 with random weights: the weights file, and a gallery of random images."""
    torch.manual_seed(0)
    model = create_model("resnet9").eval()
    sha256 = save_weights(folder / "model.safetensors", model, architecture="resnet9")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, images)
    probabilities = evaluate(model, CIFAR10.normalize(pixels), labels).probabilities
    about = {"class_names": CIFAR10.classes, "weights_sha256": sha256}
    write_gallery(make_gallery(probabilities, labels, pixels, **about), folder / "gallery")


def make_requests(number: int, folder: Path) -> list[Request]:
    """Returns a client's requests, and writes its image file of 640x480 pixels."""
    choose = random.Random(number).choice
    image = {"images": [_write_image(folder, number)]}
    page = {"page": choose(range(1, 6)), "order": choose(["confidence", "loss", "chance"]), "seed": number}
    maps = {"top": choose(range(1, 11)), "target": choose(["predicted", "cat", "ship"])}
    methods = ("gradcam", "layercam", "eigencam")
    return [
        *(("/classify", {**image, **maps, "method": method}) for method in methods),
        ("/classify", {**image, "explain": False}),
        ("/misclassified", {"count": 120, **page}),
        ("/misclassified", {"count": 2, "order": "chance", "seed": number, "explain": True}),
        ("/model", {}),
    ]


def _write_image(folder: Path, number: int) -> str:
    path = folder / f"{number}.png"
    pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.NEAREST).save(path)
    return str(path)


def ask(client: Client, request: Request, times: Times) -> Any:
    """Returns the answer to a request and notes its milliseconds."""
    name, arguments = request
    files = {"images": [handle_file(path) for path in arguments["images"]]} if "images" in arguments else {}
    started = time.perf_counter()
    answer = client.predict(**{**arguments, **files}, api_name=name)
    times[name].append(1000 * (time.perf_counter() - started))
    return answer


def measure(folder: Path, *, clients: int, seconds: float) -> dict[str, Any]:
    """Asks all requests as one client alone, then lets all clients ask at once for some seconds."""
    make_run(folder)
    plans = [make_requests(number, folder) for number in range(clients)]
    alone, together, noted = Times(list), Times(list), defaultdict[str, list[Any]](list)
    with serve(folder) as (url, _):
        client = Client(url, verbose=False, analytics_enabled=False)
        expected = [[ask(client, request, alone) for request in plan] for plan in plans]

    def use(number: int, url: str, end: float) -> None:
        client = Client(url, verbose=False, analytics_enabled=False)
        choices = random.Random(number)
        while time.monotonic() < end:
            request, right = choices.choice(list(zip(plans[number], expected[number], strict=True)))
            try:
                if ask(client, request, together) != right:
                    noted["wrong"].append(request[0])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and reported
                noted["errors"].append(f"{request[0]}: {error!r}"[:300])

    with serve(folder) as (url, process), ThreadPoolExecutor(clients) as pool:
        end = time.monotonic() + seconds
        users = [pool.submit(use, number, url, end) for number in range(clients)]
        while not all(user.done() for user in users):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            noted["memory_mib"].append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
            time.sleep(1)
        for user in users:
            user.result()
    return {"wrong": [], "errors": [], "alone": alone, "together": together, **noted}


def measure_beside_heavy(folder: Path, *, seconds: float) -> dict[str, list[float]]:
    """Returns the milliseconds of classifying one image, alone and beside heavy requests, and those of the latter."""
    times = {"alone": Times(list), "beside": Times(list), "heavy": Times(list)}
    # New images each time, since maps are remembered.
    paths = (_write_image(folder, number) for number in itertools.count(1000))
    methods = itertools.cycle(METHODS)
    with serve(folder) as (url, _), ThreadPoolExecutor(1) as pool:
        client, other = (Client(url, verbose=False, analytics_enabled=False) for _ in range(2))

        def classify(side: str) -> None:
            ask(client, ("/classify", {"images": [next(paths)], "explain": False}), times[side])

        for _ in range(20):
            classify("alone")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            heavy = {"images": [next(paths) for _ in range(16)], "explained": 16, "method": next(methods)}
            running = pool.submit(ask, other, ("/classify", heavy), times["heavy"])
            while not running.done():
                classify("beside")
    return {name: found["/classify"] for name, found in times.items()}


def milliseconds(times: list[float]) -> str:
    """Formats the median and the 95th percentile."""
    return f"{statistics.median(times):,.0f} (p95 {np.percentile(times, 95):,.0f}, n {len(times)})"


def main() -> int:
    """Returns the exit status: 0 if all went well."""
    parser = harness.make_parser(__doc__, rounds=1)
    parser.add_argument("--clients", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="(default: %(default)s)")
    options = parser.parse_args()
    seconds = 15 if options.quick else options.seconds
    report = harness.start_report("bench_space", ("torch", "gradio", "cifar-space"))
    print(harness.headline(report) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        report |= measure(Path(folder), clients=options.clients, seconds=seconds)
        report["heavy"] = measure_beside_heavy(Path(folder), seconds=seconds / 2)
    alone = report["alone"]
    rows = [[name, milliseconds(alone[name]), milliseconds(one)] for name, one in report["together"].items()]
    print(harness.markdown_table(["ms, median", "1 client", f"{options.clients} clients"], rows))
    heavy = {name: milliseconds(times) for name, times in report["heavy"].items()}
    print(f"\none image, ms: {heavy['alone']} alone, {heavy['beside']} beside a request of {heavy['heavy']}")
    memory = report["memory_mib"]
    early, late = (np.median(np.array_split(memory, 4)[quarter]) for quarter in (1, 3))
    print(f"\n{len(report['errors'])} errors, {len(report['wrong'])} wrong answers")
    print(f"memory: {early:.0f} to {late:.0f} MiB, at most {max(memory):.0f}")
    harness.write_json(options.out, report)
    # Within its first minute the server still fills its memory of maps, up to a limit.
    grows = seconds >= 60 and late > 1.05 * early
    unfair = np.percentile(report["heavy"]["beside"], 95) > 1000
    return int(bool(report["errors"] or report["wrong"] or grows or unfair))


if __name__ == "__main__":
    sys.exit(main())
