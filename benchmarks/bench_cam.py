"""Maps of four layers for 64 images: `cifar_explain.explain` against pytorch-grad-cam called once per layer.

    uv run --group bench python benchmarks/bench_cam.py [--repeats 5] [--images 64] [--memory]

Both sides run resnet9 with random weights in evaluation mode, on the same images and classes, in turn, after one
untimed run each; the maps are compared first. Prints the median of the pairwise ratios, with its range. Ends with
status 1 if the ratio is below `--at-least` or the maps differ. `--memory` measures the peak resident memory of
each side instead, in a process of its own.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

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


def inputs(count: int) -> tuple[torch.nn.Module, torch.Tensor, list[int]]:
    """Return the model, the images and a class for each."""
    torch.manual_seed(0)
    model = create_model("resnet9").eval()
    return model, torch.randn(count, 3, 32, 32), torch.randint(0, 10, (count,)).tolist()


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare_speed(options: argparse.Namespace) -> bool:
    """Print the times and their ratio; tell whether the ratio is high enough and the maps agree."""
    model, images, classes = inputs(options.images)
    arguments = (model, images, classes, options.method)
    difference = float(np.abs(our_maps(*arguments) - library_maps(*arguments)).max())
    rows = [
        (seconds(lambda: library_maps(*arguments)), seconds(lambda: our_maps(*arguments)))
        for _ in range(options.repeats)
    ]
    ratios = [theirs / ours for theirs, ours in rows]
    for name, times in zip(
        ("pytorch-grad-cam, 4 calls", "cifar_explain, 1 call"), zip(*rows, strict=True), strict=True
    ):
        print(f"{name:<26} {statistics.median(times):8.3f} s  (from {min(times):.3f} to {max(times):.3f})")
    ratio = statistics.median(ratios)
    print(
        f"ratio {ratio:.2f} (from {min(ratios):.2f} to {max(ratios):.2f}), largest difference {difference:.1e}"
    )
    return ratio >= options.at_least and difference <= 1e-5


def compare_memory(options: argparse.Namespace) -> bool:
    """Print each side's peak memory beyond that before the work; tell whether ours is no higher."""
    peaks = {}
    for side in ("theirs", "ours"):
        command = [
            sys.executable,
            __file__,
            "--side",
            side,
            "--images",
            str(options.images),
            "--method",
            options.method,
        ]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[side] = json.loads(answer.splitlines()[-1])
    print(
        f"peak memory of the work: pytorch-grad-cam {peaks['theirs']:.0f} MiB, cifar_explain {peaks['ours']:.0f} MiB"
    )
    return peaks["ours"] <= peaks["theirs"]


def print_peak(options: argparse.Namespace) -> None:
    """Run one side and print how much it raised this process's peak memory, in MiB."""
    work = our_maps if options.side == "ours" else library_maps
    model, images, classes = inputs(options.images)
    # Once with two images, so that what is loaded when first used is not counted.
    work(model, images[:2], classes[:2], options.method)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work(model, images, classes, options.method)
    # Linux counts in KiB.
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=64, help="images per batch")
    parser.add_argument("--repeats", type=int, default=5, help="timed pairs of runs")
    parser.add_argument("--method", choices=list(LIBRARY), default="gradcam")
    parser.add_argument("--at-least", type=float, default=3.5, help="least ratio that counts as success")
    parser.add_argument("--memory", action="store_true", help="compare peak memory instead of time (Linux)")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print_peak(options)
        return 0
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{options.method}, resnet9, {options.images} images, {len(LAYERS)} layers"
    )
    return 0 if (compare_memory if options.memory else compare_speed)(options) else 1


if __name__ == "__main__":
    sys.exit(main())
