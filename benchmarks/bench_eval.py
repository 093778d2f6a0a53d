"""Evaluation of 10,000 images in float32: a naive loop, the same in channels-last memory, and ours.

    uv run python benchmarks/bench_eval.py [--quick] [--models whitenet,resnet9] [--batches 50,100,250,500,1000]

All get the same normalised images in memory and give the logits. Naive is the loop that is usually written: evaluation
mode, `torch.no_grad()`, batches of 512, weights and images as they come. Ours is `cifar_explain.predict_logits` of what
`cifar_models.fold_batch_norms` makes of the model, folding included, at several micro-batch sizes. The rivals take
turns. How far the predictions agree is printed; it ends with status 1 if logits differ by more than rounding explains.
whitenet has the weights of `fast`, resnet9 random ones, with running statistics of the images, so that all norms do
something.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import headline, start_report, write_json
from numpy.typing import NDArray
from rounds import interleave, markdown_table, ratios, spread, summarize
from torch import Tensor, nn

from cifar_data import make_synthetic, open_dataset
from cifar_explain import predict_logits
from cifar_models import CIFAR10, create_model, fold_batch_norms, load_weights, read_header

NAIVE, CHANNELS_LAST = "naive loop, 512", "channels-last loop, 512"

# Of the largest logit: hundreds of roundings of float32 one after the other.
_TOLERANCE = 1e-4

_FAST = Path(__file__).parents[1] / "weights/fast.safetensors"


def naive_logits(model: nn.Module, images: Tensor, *, batch: int = 512) -> NDArray[np.float64]:
    """Return the logits `(N, K)` of a model in evaluation mode, by the usual loop."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)]).double().numpy()


def our_logits(model: nn.Module, images: Tensor, *, batch: int) -> NDArray[np.float64]:
    """Return the logits `(N, K)` by what this project evaluates with; folding the norms counts."""
    return predict_logits(fold_batch_norms(model), images, batch_size=batch)


def compare(logits: NDArray[np.float64], reference: NDArray[np.float64]) -> tuple[float, int]:
    """Return the largest difference of logits, and the number of images with different predictions.

    >>> compare(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.5], [0.0, 0.5]]))
    (1.0, 1)
    """
    different = logits.argmax(axis=1) != reference.argmax(axis=1)
    return float(np.abs(logits - reference).max()), int(different.sum())


def load_images(count: int, *, synthetic: bool) -> Tensor:
    """Return normalised images `(count, 3, 32, 32)` in contiguous memory: test images, or drawn ones."""
    dataset = make_synthetic(10, count) if synthetic else open_dataset()
    return CIFAR10.normalize(np.array(dataset.test.images[:count])).contiguous()


def load_model(name: str, images: Tensor, *, weights: Path = _FAST) -> nn.Module:
    """Return a model in evaluation mode: with a file's weights if they are of its architecture, else random ones."""
    if read_header(weights).architecture == name:
        return load_weights(weights).model.float().eval()
    torch.manual_seed(0)
    model = create_model(name)
    # Of fresh norms, with mean 0 and variance 1, nothing would be seen to be folded right.
    with torch.no_grad():
        model.train()(images[:256])
    return model.eval()


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return what runs `work` once and returns its seconds."""

    def measured() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measured


def measure(
    name: str, images: Tensor, *, batches: list[int], rounds: int
) -> tuple[list[list[str]], dict[str, Any]]:
    """Measure the rivals on one model; return the rows of the table and the report."""
    model, twin = load_model(name, images), load_model(name, images)
    twin.to(memory_format=torch.channels_last)
    last = images.to(memory_format=torch.channels_last)
    rivals: dict[str, Callable[[], NDArray[np.float64]]] = {
        NAIVE: lambda: naive_logits(model, images),
        CHANNELS_LAST: lambda: naive_logits(twin, last),
    }
    for batch in batches:
        rivals[f"ours, {batch}"] = lambda batch=batch: our_logits(model, images, batch=batch)
    # The comparison warms up too.
    reference = rivals[NAIVE]()
    agreement = {label: compare(rival(), reference) for label, rival in rivals.items()}
    found = interleave({label: timed(rival) for label, rival in rivals.items()}, rounds=rounds)
    rows, report = [], {}
    for label, seconds in found.items():
        faster = ratios(found[NAIVE], seconds)
        speeds = [len(images) / value for value in seconds]
        difference, different = agreement[label]
        cells = [spread(seconds, 2), spread(speeds), spread(faster, 2), f"{difference:.1e}", str(different)]
        rows.append([f"{name}: {label}", *cells])
        report[label] = {
            "seconds": summarize(seconds),
            "images_per_second": summarize(speeds),
            "times_naive": summarize(faster),
            "largest_logit_difference": difference,
            "largest_logit": float(np.abs(reference).max()),
            "different_predictions": different,
        }
    return rows, report


def main() -> int:
    """Return the exit status: 0 if all give the same logits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=lambda text: text.split(","), default=["whitenet", "resnet9"])
    parser.add_argument(
        "--batches",
        type=lambda text: [int(batch) for batch in text.split(",")],
        default=[50, 100, 250, 500, 1000],
        help="micro-batch sizes of ours",
    )
    parser.add_argument("--images", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--synthetic", action="store_true", help="drawn images even if the real ones are there"
    )
    parser.add_argument("--quick", action="store_true", help="1,000 images, 3 rounds")
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = 1000, 3
    synthetic = options.synthetic or "CIFAR_DATA_DIR" not in os.environ
    images = load_images(options.images, synthetic=synthetic)
    report = start_report("bench_eval", ("torch", "numpy", "cifar-models", "cifar-explain"))
    data = f"{len(images):,} {'drawn' if synthetic else 'test'} images"
    report |= {"data": data, "threads": torch.get_num_threads(), "models": {}}
    print(f"{headline(report)}\n{data}, float32, {torch.get_num_threads()} threads\n")
    rows = []
    for name in options.models:
        more, report["models"][name] = measure(name, images, batches=options.batches, rounds=options.rounds)
        rows += more
    header = [
        "rival, images at a time",
        "seconds",
        "images/s",
        "x naive",
        "logits differ by",
        "predictions differ",
    ]
    print(markdown_table(header, rows))
    if options.out:
        write_json(options.out, report)
    differ = any(
        one["largest_logit_difference"] > _TOLERANCE * one["largest_logit"]
        for model in report["models"].values()
        for one in model.values()
    )
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
