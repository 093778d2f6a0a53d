"""Augmented training images per second on one core: the tensor loader against Albumentations.

    uv run python benchmarks/bench_loader.py [--quick] [--out results.json]

Both crop the padded image, flip it, cut out 8x8 pixels and normalise; Albumentations works image by image. Processor
time is counted, so that other processes on the machine matter little; the first round warms up.
"""

import time
from collections.abc import Iterable

import harness
import torch
from torch import Tensor

from cifar_data import CIFAR10DataModule

BATCH_SIZE = 512
Batches = Iterable[tuple[Tensor, Tensor]]


def make_loader(name: str, source: str) -> Batches:
    """Returns a shuffling loader without worker processes."""
    data = CIFAR10DataModule(source=source, loader=name, batch_size=BATCH_SIZE, val_size=0, num_workers=0)
    data.setup("fit")
    return data.train_dataloader()


def images_per_second(loader: Batches, *, limit: int) -> float:
    """Returns the images made per second of processor time, over the first `limit` images of an epoch."""
    made, start = 0, time.process_time()
    for images, _ in loader:
        made += len(images)
        if made >= limit:
            break
    return made / (time.process_time() - start)


def main() -> None:
    """Runs the benchmark and prints a table."""
    options = harness.make_parser(__doc__, rounds=9, data=True).parse_args()
    torch.set_num_threads(1)
    sides = {}
    for name, limit in {"albumentations": 4000, "tensor": 40_000}.items():
        loader = make_loader(name, options.source)
        count = limit // 4 if options.quick else limit
        sides[name] = lambda loader=loader, count=count: images_per_second(loader, limit=count)
    found = harness.interleave(sides, rounds=3 if options.quick else options.rounds, warmup=1)
    packages = ("torch", "albumentations", "opencv-python-headless", "numpy", "cifar-data")
    report = harness.start_report("bench_loader", packages)
    rows, rivals = harness.compare(found, "albumentations")
    report |= {"source": options.source, "batch_size": BATCH_SIZE, "images_per_second": rivals}
    print(f"{harness.headline(report)}\none core, data source {options.source}, batches of {BATCH_SIZE}\n")
    print(harness.markdown_table(["loader", "n", "images/s", "x albumentations"], rows))
    harness.write_json(options.out, report)


if __name__ == "__main__":
    main()
