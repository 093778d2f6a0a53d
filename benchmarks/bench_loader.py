"""Augmented training images per second on one core: our tensor loader, Albumentations, and torchvision's v2.

    uv run --group bench python benchmarks/bench_loader.py [--quick] [--out results.json]

All crop the padded image, flip it, cut out 8x8 pixels and normalise; the two rivals work image by image.
Processor time is counted, so that other processes on the machine matter little; the first round warms up.
"""

import time
from collections.abc import Iterable
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cifar_data import CIFAR10DataModule

BATCH_SIZE = 512
Batches = Iterable[tuple[Tensor, Tensor]]


def make_loaders(source: str) -> dict[str, Batches]:
    """Returns the loaders by name, each shuffling, without worker processes."""
    from torchvision.transforms import v2

    loaders: dict[str, Batches] = {}
    for name in ("albumentations", "tensor"):
        data = CIFAR10DataModule(source=source, loader=name, batch_size=BATCH_SIZE, val_size=0, num_workers=0)
        data.setup("fit")
        loaders[name] = data.train_dataloader()
    area = 8 * 8 / (32 * 32)
    transform = v2.Compose(
        [
            v2.RandomCrop(32, padding=4),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(p=1.0, scale=(area, area), ratio=(1.0, 1.0), value=list(data.mean)),
            v2.Normalize(data.mean, data.std),
        ]
    )
    images = torch.from_numpy(np.array(data.dataset.train.images)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.array(data.dataset.train.labels))

    def collate(rows: list[int]) -> tuple[Tensor, Tensor]:
        return torch.stack([transform(images[row]) for row in rows]), labels[rows]

    rows: Any = range(len(labels))
    loaders["torchvision v2"] = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True, collate_fn=collate)
    return loaders


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
    source = options.source
    sides = {}
    for name, loader in make_loaders(source).items():
        # Ten times as many of the loader that is faster by far.
        limit = (1000 if options.quick else 4000) * (10 if name == "tensor" else 1)
        sides[name] = lambda loader=loader, limit=limit: images_per_second(loader, limit=limit)
    found = harness.interleave(sides, rounds=3 if options.quick else options.rounds, warmup=1)
    packages = ("torch", "albumentations", "opencv-python-headless", "torchvision", "numpy", "cifar-data")
    report = harness.start_report("bench_loader", packages)
    rows, rivals = harness.compare(found, "albumentations")
    report |= {"source": source, "batch_size": BATCH_SIZE, "images_per_second": rivals}
    print(f"{harness.headline(report)}\nimages per second of one core, {source}, batches of {BATCH_SIZE}\n")
    print(harness.markdown_table(["loader", "n", "images/s", "x albumentations"], rows))
    harness.write_json(options.out, report)


if __name__ == "__main__":
    main()
