"""Maps of four layers for 64 images: `cifar_explain.explain` against pytorch-grad-cam called once per layer.

    uv run --group bench python benchmarks/bench_cam.py [--quick] [--method gradcam] [--out results.json]

Given several layers, pytorch-grad-cam averages them into one map, so four calls are what four maps take. Both
sides run resnet9 with random weights in evaluation mode, on the same images and classes. The maps are compared
first, which also warms up; then the sides take turns, and turns at going first. Peak memory is measured in
processes of their own, on Linux. Ends with status 1 if the maps differ, the median ratio is below `--at-least`, or the
median memory is higher; `--quick` judges the maps alone, since its work is too small for more.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_grad_cam
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from cifar_explain import explain
from cifar_models import create_model

LIBRARY = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
    "xgradcam": pytorch_grad_cam.XGradCAM,
}
LAYERS = ["prep", "layer1", "layer2", "layer3"]
THEIRS, OURS = "pytorch-grad-cam, 4 calls", "cifar_explain, 1 call"


def library_maps(
    model: torch.nn.Module, images: torch.Tensor, classes: list[int], method: str
) -> NDArray[np.float32]:
    """Return the maps of four calls, as pytorch-grad-cam's own examples make them."""
    targets = [ClassifierOutputTarget(index) for index in classes]
    maps = []
    for name in LAYERS:
        with LIBRARY[method](model=model, target_layers=[model.get_submodule(name)]) as cam:
            maps.append(cam(input_tensor=images, targets=targets))
    return np.stack(maps, axis=1)


def our_maps(
    model: torch.nn.Module, images: torch.Tensor, classes: list[int], method: str
) -> NDArray[np.float32]:
    """Return the maps of one call."""
    return explain(model, images, layers=LAYERS, method=method, target=classes)


SIDES: dict[str, Callable[..., NDArray[np.float32]]] = {THEIRS: library_maps, OURS: our_maps}


def inputs(count: int) -> tuple[torch.nn.Module, torch.Tensor, list[int]]:
    """Return the model, the images and a class for each."""
    torch.manual_seed(0)
    model = create_model("resnet9").eval()
    return model, torch.randn(count, 3, 32, 32), torch.randint(0, 10, (count,)).tolist()


def measure_speed(options: argparse.Namespace) -> tuple[dict[str, list[float]], float]:
    """Return the seconds of each side in each repeat, and the largest difference between their maps."""
    arguments = (*inputs(options.images), options.method)
    difference = float(np.abs(our_maps(*arguments) - library_maps(*arguments)).max())
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(options.repeats):
        for name in list(SIDES) if number % 2 else reversed(SIDES):
            start = time.perf_counter()
            SIDES[name](*arguments)
            seconds[name].append(time.perf_counter() - start)
    return seconds, difference


def measure_memory(options: argparse.Namespace, *, runs: int) -> dict[str, list[float]]:
    """Return by how many MiB each side raised the peak memory of a process of its own, in each run."""
    peaks: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(runs):
        for name in SIDES:
            command = [sys.executable, __file__, "--side", name, "--images", str(options.images)]
            answer = subprocess.run(
                [*command, "--method", options.method], check=True, capture_output=True, text=True
            )
            peaks[name].append(float(answer.stdout.splitlines()[-1]))
    return peaks


def print_peak(options: argparse.Namespace) -> None:
    """Run one side and print how much it raised this process's peak memory, in MiB."""
    model, images, classes = inputs(options.images)
    # Once with two images, so that what is loaded when first used is not counted.
    SIDES[options.side](model, images[:2], classes[:2], options.method)
    # Lets the peak begin at what is in use now. `getrusage` would count the parent process's memory too.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident_mib("VmRSS")
    SIDES[options.side](model, images, classes, options.method)
    print(resident_mib("VmHWM") - before)


def resident_mib(field: str) -> float:
    """Return a field of this process's status in MiB: `VmRSS` is its memory, `VmHWM` the peak of it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def processor_name() -> str:
    """Return the processor as the system calls it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def print_rows(title: str, rows: dict[str, list[float]], digits: int) -> None:
    """Print the median and the range of each side."""
    print(f"{title:<28}{'median':>10}{'lowest':>10}{'highest':>10}{'n':>4}")
    for name, values in rows.items():
        numbers = (statistics.median(values), min(values), max(values))
        print(f"{name:<28}" + "".join(f"{value:>10.{digits}f}" for value in numbers) + f"{len(values):>4}")


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=64, help="images per batch")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each side")
    parser.add_argument("--method", choices=list(LIBRARY), default="gradcam")
    parser.add_argument("--at-least", type=float, default=3.5, help="least ratio that counts as success")
    parser.add_argument("--quick", action="store_true", help="8 images, 3 repeats, one run for the memory")
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print_peak(options)
        return 0
    if options.quick:
        options.images, options.repeats = 8, 3

    versions = {name: version(name) for name in ("torch", "grad-cam", "numpy")}
    print(
        f"{processor_name()}, {torch.get_num_threads()} threads, "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + f"\n{options.method}, resnet9, {options.images} images of 32x32, layers {', '.join(LAYERS)}\n"
    )
    seconds, difference = measure_speed(options)
    print_rows("seconds", seconds, 3)
    ratios = [theirs / ours for theirs, ours in zip(seconds[THEIRS], seconds[OURS], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"largest difference between the maps {difference:.1e}\n")
    memory: dict[str, list[float]] = {}
    if sys.platform == "linux":
        memory = measure_memory(options, runs=1 if options.quick else 3)
        print_rows("MiB at the peak of the work", memory, 0)
    if options.out is not None:
        report = {
            "machine": {
                "processor": processor_name(),
                "cores": os.cpu_count(),
                "threads": torch.get_num_threads(),
            },
            "versions": {"python": platform.python_version()} | versions,
            "method": options.method,
            "model": "resnet9, random weights, seed 0",
            "images": options.images,
            "layers": LAYERS,
            "seconds": seconds,
            "ratios": ratios,
            "median_ratio": ratio,
            "largest_difference": difference,
            "peak_memory_mib": memory,
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    same = difference <= 1e-5
    frugal = not memory or statistics.median(memory[OURS]) <= statistics.median(memory[THEIRS])
    return 0 if same and (options.quick or (ratio >= options.at_least and frugal)) else 1


if __name__ == "__main__":
    sys.exit(main())
