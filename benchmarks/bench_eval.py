"""Evaluating 10,000 images in float32: a naive loop, the same in channels-last memory, and ours.

    uv run python benchmarks/bench_eval.py [--quick] [--models whitenet resnet9] [--batches 50 100 250]

All rivals get the same normalised images in memory and return logits. Naive is the usual loop: evaluation mode,
`torch.no_grad()`, batches of 512, weights and images as they come. Ours is `cifar_explain.predict_logits` of
`cifar_models.fuse_conv_bn(model)`, fusing included. The exit status is 1 if the logits differ by more than rounding
explains. whitenet has the weights of `fast`; resnet9 has random weights, with running statistics of the images.
"""

import sys
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_data import open_dataset
from cifar_explain import predict_logits
from cifar_models import CIFAR10, create_model, fuse_conv_bn, load_weights, read_header

Logits = NDArray[np.float64]

NAIVE, CHANNELS_LAST = "naive loop, 512", "channels-last loop, 512"

_TOLERANCE = 1e-4  # of the largest logit: hundreds of roundings of float32 one after the other

_FAST = harness.HERE.parent / "weights" / "fast.safetensors"


def naive_logits(model: nn.Module, images: Tensor, *, batch: int = 512) -> Logits:
    """Returns the logits `(N, K)` by the usual loop."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)]).double().numpy()


def load_images(count: int, *, source: str) -> Tensor:
    """Returns normalised test images `(count, 3, 32, 32)` in contiguous memory."""
    return CIFAR10.normalize(np.array(open_dataset(source=source).test.images[:count])).contiguous()


def load_model(name: str, images: Tensor) -> nn.Module:
    """Returns a model in evaluation mode, with the weights of `fast` if it is of that architecture."""
    if read_header(_FAST).architecture == name:
        return load_weights(_FAST).model.float().eval()
    torch.manual_seed(0)
    model = create_model(name)
    # Fresh norms have mean 0 and variance 1, and would hide a wrong fusion.
    with torch.no_grad():
        model.train()(images[:256])
    return model.eval()


def measure(
    name: str, images: Tensor, *, batches: list[int], rounds: int
) -> tuple[harness.Rows, dict[str, Any]]:
    """Measures the rivals on one model; returns the rows of the table and the report."""
    model = load_model(name, images)
    twin = load_model(name, images).to(memory_format=torch.channels_last)
    last = images.to(memory_format=torch.channels_last)
    rivals: dict[str, Callable[[], Logits]] = {
        NAIVE: lambda: naive_logits(model, images),
        CHANNELS_LAST: lambda: naive_logits(twin, last),
    }
    for batch in batches:
        fused = lambda batch=batch: predict_logits(fuse_conv_bn(model), images, batch_size=batch)  # noqa: E731
        rivals[f"ours, {batch}"] = fused
    # Comparing the results also warms up.
    expected = rivals[NAIVE]()
    results = {label: rival() for label, rival in rivals.items()}
    sides = {label: harness.timed(rival) for label, rival in rivals.items()}
    found = harness.interleave(sides, rounds=rounds)
    rows, report = harness.compare(found, NAIVE, digits=2)
    for row, (label, logits) in zip(rows, results.items(), strict=True):
        difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
        report[label]["relative_logit_difference"] = difference
        speeds = harness.spread([len(images) / value for value in found[label]])
        row[:] = [f"{name}: {label}", *row[1:], speeds, f"{difference:.1e}"]
    return rows, report


def main() -> int:
    """Returns the exit status: 0 if all rivals give the same logits."""
    parser = harness.make_parser(__doc__, rounds=5, data=True)
    parser.add_argument("--models", nargs="+", default=["whitenet", "resnet9"])
    parser.add_argument("--batches", nargs="+", type=int, default=[50, 100, 250, 500, 1000], help="of ours")
    parser.add_argument("--images", type=int, default=10_000, help="(default: %(default)s)")
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = 1000, 3
    images = load_images(options.images, source=options.source)
    report = harness.start_report("bench_eval", ("torch", "numpy", "cifar-models", "cifar-explain"))
    report |= {"images": len(images), "threads": torch.get_num_threads(), "models": {}}
    print(f"{harness.headline(report)}\n{len(images):,} images, float32, {report['threads']} threads\n")
    rows = []
    for name in options.models:
        more, report["models"][name] = measure(name, images, batches=options.batches, rounds=options.rounds)
        rows += more
    header = ["rival, images at a time", "n", "seconds", "x naive", "images/s", "logits differ by"]
    print(harness.markdown_table(header, rows))
    harness.write_json(options.out, report)
    found = [one for model in report["models"].values() for one in model.values()]
    return int(any(one["relative_logit_difference"] > _TOLERANCE for one in found))


if __name__ == "__main__":
    sys.exit(main())
