"""A loader that augments image by image with Albumentations, in worker processes if wanted."""

import os
import platform
import random
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cifar_data.augmentation.policy import NO_AUGMENTATION, Augmentation, alternating_flips, mean_colour
from cifar_data.dataset.arrays import SIDE
from cifar_data.seeding import ResumableSampler, derive_generator


def import_albumentations() -> Any:
    """Imports Albumentations without its request to the network for a newer version, here and in worker processes."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f"the loaders albumentations and bolts need Albumentations ({error}), which is not installed with "
            f"Python 3.15 and later; this is Python {platform.python_version()}. Use the loader tensor "
            "(--data.loader tensor), which augments alike, or Python 3.14 or earlier"
        ) from error
    return albumentations


def make_pipeline(
    augmentation: Augmentation, *, mean: Sequence[float], std: Sequence[float], flip: float = 0.5
) -> Any:
    """Returns a `Compose` from uint8 (32, 32, 3) to normalised float32 (3, 32, 32).

    Images are flipped with the probability `flip`, whatever the augmentation says of that.
    """
    A = import_albumentations()  # noqa: N806 - the library's own idiom
    steps = []
    if augmentation.padding > 0:
        import cv2

        borders = {"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
        padded = SIDE + 2 * augmentation.padding
        steps.append(A.PadIfNeeded(padded, padded, border_mode=borders[augmentation.padding_mode], fill=0))
        steps.append(A.RandomCrop(SIDE, SIDE))
    if flip > 0:
        steps.append(A.HorizontalFlip(p=flip))
    if augmentation.jitters:
        reaches = augmentation.brightness, augmentation.contrast
        factors = [(1 - reach, 1 + reach) for reach in reaches]
        steps.append(A.ColorJitter(*factors, saturation=(1, 1), hue=(0, 0), p=1.0))
    if augmentation.cutout > 0:
        side = (augmentation.cutout, augmentation.cutout)
        steps.append(A.CoarseDropout((1, 1), side, side, fill=mean_colour(mean), p=1.0))
    return A.Compose([*steps, A.Normalize(mean=tuple(mean), std=tuple(std)), A.ToTensorV2()])


class AlbumentationsDataset(Dataset[tuple[Tensor, int]]):
    """Samples put through the pipeline, indexed by (epoch, position).

    Every draw depends on the seed, the epoch and the position alone: the epoch travels with each index, so workers
    that live on from epoch to epoch need not be told of it. A sample is a uint8 (32, 32, 3) array and a class index,
    an item a normalised float32 (3, 32, 32) image and the class index.
    """

    def __init__(
        self,
        samples: Any,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        augmentation = augmentation or NO_AUGMENTATION
        self._samples = samples
        self._seed = seed
        self._first_sides = alternating_flips(len(samples), seed=seed, epoch=0)
        # One pipeline, or for alternating flips one of each side.
        flips = {"random": [0.5], "alternate": [0.0, 1.0], "none": [0.0]}[augmentation.flip]
        self._pipelines = [make_pipeline(augmentation, mean=mean, std=std, flip=flip) for flip in flips]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, position = key
        image, label = self._samples[position]
        pipeline = self._pipelines[(int(self._first_sides[position]) + epoch) % len(self._pipelines)]
        generator = derive_generator(self._seed, "pipeline", epoch, position)
        # Both kinds are drawn from. `set_random_seed` would seed each step again, at half the pipeline's cost.
        pipeline.set_random_state(generator, random.Random(int(generator.integers(2**62))))  # noqa: S311
        return pipeline(image=image)["image"], label


class EpochSampler(ResumableSampler):
    """A sampler of pairs of epoch and position."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yields the pairs of the epoch."""
        return ((self.epoch, cast("int", position)) for position in super().__iter__())


def make_loader(
    dataset: AlbumentationsDataset,
    *,
    batch_size: int,
    num_workers: int,
    drop_last: bool = False,
    seed: int = 0,
    shuffle: bool = False,
    **processes: int,
) -> DataLoader[tuple[Tensor, int]]:
    """Returns a DataLoader with the arguments, the order and the memory format of `TensorLoader`.

    The batches do not depend on `num_workers`, the number of worker processes, 0 = none.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), shuffle=shuffle, seed=seed, **processes),
        num_workers=num_workers,
        collate_fn=_collate,
        drop_last=drop_last,
        persistent_workers=num_workers > 0,
        worker_init_fn=_start_worker,
        # Without one of its own a DataLoader draws from torch's global generator.
        generator=torch.Generator().manual_seed(seed),
    )


def default_workers(processes: int) -> int:
    """Returns the CPUs of this machine divided among its training processes, from 1 to 4."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cpus // processes, 1), 4)


def _collate(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    images = torch.stack([image for image, _ in items]).contiguous(memory_format=torch.channels_last)
    return images, torch.tensor([label for _, label in items], dtype=torch.int64)


def _start_worker(worker: int) -> None:
    """Keeps a worker to one thread: more would compete, and thread pools do not survive a fork."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
