"""Maps of four layers for 64 images: `cifar_explain.explain` against pytorch-grad-cam, called once a layer.

    uv run python benchmarks/bench_cam.py [--quick] [--method gradcam] [--out results.json]

Given several layers, pytorch-grad-cam averages them into one map, so four maps take four calls. Both sides run resnet9
with random weights on the same images and classes. Peak memory is that of a whole process. The exit status is 1 if
the maps differ.
"""

import argparse
import functools
import sys
from collections.abc import Callable

import harness
import numpy as np
import pytorch_grad_cam
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from cifar_explain import explain
from cifar_models import create_model

Maps = NDArray[np.float32]

LIBRARY = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
    "xgradcam": pytorch_grad_cam.XGradCAM,
}
LAYERS = ["prep", "layer1", "layer2", "layer3"]
OURS, THEIRS = "cifar_explain, 1 call", "pytorch-grad-cam, 4 calls"


def library_maps(model: torch.nn.Module, images: torch.Tensor, classes: list[int], method: str) -> Maps:
    """Returns the maps `(N, layers, H, W)` of four calls, made as in pytorch-grad-cam's examples."""
    targets = [ClassifierOutputTarget(index) for index in classes]
    maps = []
    for name in LAYERS:
        with LIBRARY[method](model=model, target_layers=[model.get_submodule(name)]) as cam:
            maps.append(cam(input_tensor=images, targets=targets))
    return np.stack(maps, axis=1)


SIDES: dict[str, Callable[..., Maps]] = {
    OURS: lambda model, images, target, method: explain(model, images, LAYERS, method=method, target=target),
    THEIRS: library_maps,
}


def inputs(count: int) -> tuple[torch.nn.Module, torch.Tensor, list[int]]:
    """Returns the model, the images and a class for each."""
    torch.manual_seed(0)
    model = create_model("resnet9").eval()
    return model, torch.randn(count, 3, 32, 32), torch.randint(0, 10, (count,)).tolist()


def main() -> int:
    """Returns the exit status."""
    parser = harness.make_parser(__doc__, rounds=7)
    parser.add_argument("--images", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--method", choices=list(LIBRARY), default="gradcam")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = 8, 3
    if options.side:
        SIDES[options.side](*inputs(options.images), options.method)
        return 0
    report = harness.start_report("bench_cam", ("torch", "grad-cam", "numpy", "cifar-explain"))
    report |= {"method": options.method, "images": options.images, "threads": torch.get_num_threads()}
    print(f"{harness.headline(report)}\n{options.method}, resnet9, {options.images} images, {LAYERS}\n")
    # Before anything else, since a process's peak memory is at least that of its parent.
    command = harness.script("bench_cam.py", "--images", str(options.images), "--method", options.method)
    peak = lambda name: harness.run_process([*command, "--side", name]).costs["peak_memory_mib"]  # noqa: E731
    processes = {name: functools.partial(peak, name) for name in SIDES}
    peaks = harness.interleave(processes, rounds=1 if options.quick else 3)
    arguments = (*inputs(options.images), options.method)
    # Comparing the results also warms up.
    difference = float(np.abs(np.subtract(*(maps(*arguments) for maps in SIDES.values()))).max())
    sides = {name: harness.timed(lambda maps=maps: maps(*arguments)) for name, maps in SIDES.items()}
    found = harness.interleave(sides, rounds=options.rounds)
    rows, report["seconds"] = harness.compare(found, OURS, digits=3)
    more, report["peak_memory_mib"] = harness.compare(peaks, OURS)
    report["largest_difference"] = difference
    print(harness.markdown_table(["maps", "n", "seconds", "x ours"], rows))
    print(f"\nlargest difference between the maps: {difference:.1e}\n")
    print(harness.markdown_table(["process", "n", "peak memory (MiB)", "x ours"], more))
    harness.write_json(options.out, report)
    return int(difference > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
