"""Measure how many augmented training images per second each loader makes on one core.

Rivals: the tensor loader, the Albumentations loader, and torchvision's v2 transforms image by image, all with
crop of the padded image, flip, 8x8 hole and normalisation. The rivals take turns, so that a busy machine
burdens all alike.

    python benchmarks/bench_loader.py --out results.json
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import ImageDataset
from cifar_data.loaders.albumentations import AlbumentationsDataset, ArraySamples, make_albumentations_loader
from cifar_data.loaders.tensor import TensorLoader
from cifar_data.sources.open import open_dataset
from cifar_data.sources.synthetic import make_synthetic

BATCH_SIZE = 512
Batches = Iterable[tuple[Tensor, Tensor]]


class TorchvisionDataset(Dataset[tuple[Tensor, int]]):
    """The same augmentation by torchvision's v2 transforms, one image at a time."""

    def __init__(self, dataset: ImageDataset) -> None:
        from torchvision.transforms import v2

        self._images = torch.from_numpy(np.array(dataset.train.images)).permute(0, 3, 1, 2).contiguous()
        self._labels = dataset.train.labels
        area = 8 * 8 / (32 * 32)
        self._transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.RandomErasing(p=1.0, scale=(area, area), ratio=(1.0, 1.0), value=list(dataset.mean)),
                v2.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._images[index]), int(self._labels[index])


def make_rivals(dataset: ImageDataset) -> dict[str, Batches]:
    """The loaders by name, each shuffling, without workers."""
    split, augmentation = dataset.train, Augmentation()
    channels = {"mean": dataset.mean, "std": dataset.std, "augmentation": augmentation}
    samples = ArraySamples(split.images, split.labels, np.arange(len(split)))
    return {
        "tensor": TensorLoader(split.images, split.labels, batch_size=BATCH_SIZE, shuffle=True, **channels),
        "albumentations": make_albumentations_loader(
            AlbumentationsDataset(samples, **channels), batch_size=BATCH_SIZE, shuffle=True, num_workers=0
        ),
        "torchvision v2": DataLoader(TorchvisionDataset(dataset), batch_size=BATCH_SIZE, shuffle=True),
    }


def images_per_second(
    loader: Batches, *, limit: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Images made per second of processor time, over the first `limit` images of an epoch.

    Processor time, not wall time: other processes on the machine then count for little.
    """
    made, start = 0, clock()
    for images, _ in loader:
        made += len(images)
        if made >= limit:
            break
    return made / (clock() - start)


def measure(dataset: ImageDataset, *, rounds: int, limits: dict[str, int]) -> dict[str, list[float]]:
    """Images per second of each rival in each round."""
    rivals = make_rivals(dataset)
    speeds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 1):
        for name, loader in rivals.items():
            speed = images_per_second(loader, limit=limits.get(name, limits["others"]))
            if turn > 0:  # the first round warms up
                speeds[name].append(speed)
    return speeds


def processor_name() -> str:
    """The processor as the system calls it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each loader")
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    real = "CIFAR_DATA_DIR" in os.environ
    dataset = open_dataset() if real else make_synthetic(train_size=20_000, test_size=10)
    limits = {"tensor": 10_000, "others": 1_000} if options.quick else {"tensor": 40_000, "others": 4_000}
    speeds = measure(dataset, rounds=3 if options.quick else options.rounds, limits=limits)

    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"images per second of one core, {dataset.origin}, batches of {BATCH_SIZE}")
    print(f"{'loader':<16}{'median':>10}{'lowest':>10}{'highest':>10}{'n':>4}{'x albumentations':>18}")
    for name, values in speeds.items():
        ratio = medians[name] / medians["albumentations"]
        print(
            f"{name:<16}{medians[name]:>10,.0f}{min(values):>10,.0f}{max(values):>10,.0f}"
            f"{len(values):>4}{ratio:>18.1f}"
        )
    if options.out is not None:
        machine = {"processor": processor_name(), "cores": os.cpu_count()}
        packages = ("torch", "albumentations", "opencv-python-headless", "torchvision", "numpy")
        report = {
            "unit": "images per second of processor time, one core",
            "batch_size": BATCH_SIZE,
            "data": {"origin": dataset.origin, "fingerprint": dataset.fingerprint},
            "machine": machine,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
            "speeds": speeds,
            "medians": medians,
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
