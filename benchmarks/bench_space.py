"""The Space under load: 50 clients at once against one client alone.

    uv run python benchmarks/bench_space.py [--quick] [--clients 50] [--seconds 120] [--out FILE]

resnet9 with random weights is served. Each client classifies its own image, looks at misclassified images and asks for
the model's facts; each answer must equal the one that a client alone got from a fresh server. The exit status is 1 if
answers are wrong, requests fail, or the server grows by more than 5 % from the second to the last quarter of at
least a minute.
"""

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

from cifar_explain import evaluate, make_gallery, write_gallery
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
    path = folder / f"{number}.png"
    pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.NEAREST).save(path)
    choose = random.Random(number).choice
    image = {"images": [path.as_posix()]}
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
    alone, together = Times(list), Times(list)
    wrong: list[str] = []
    errors: list[str] = []
    memory: list[float] = []
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
                    wrong.append(request[0])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and reported
                errors.append(f"{request[0]}: {error!r}"[:300])

    with serve(folder) as (url, process), ThreadPoolExecutor(clients) as pool:
        end = time.monotonic() + seconds
        users = [pool.submit(use, number, url, end) for number in range(clients)]
        while not all(user.done() for user in users):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            memory.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
            time.sleep(1)
        for user in users:
            user.result()
    return {"alone": alone, "together": together, "wrong": wrong, "errors": errors, "memory_mib": memory}


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
    alone, together = report["alone"], report["together"]
    rows = [[name, milliseconds(alone[name]), milliseconds(together[name])] for name in together]
    print(harness.markdown_table(["ms, median", "1 client", f"{options.clients} clients"], rows))
    memory = report["memory_mib"]
    quarter = max(1, len(memory) // 4)
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    print(f"\n{len(report['errors'])} errors, {len(report['wrong'])} wrong answers")
    print(f"memory: {early:.0f} to {late:.0f} MiB, at most {max(memory):.0f}")
    harness.write_json(options.out, report)
    # Within its first minute the server still fills its memory of maps, up to a limit.
    grows = seconds >= 60 and late > 1.05 * early
    return int(bool(report["errors"] or report["wrong"] or grows))


if __name__ == "__main__":
    sys.exit(main())
