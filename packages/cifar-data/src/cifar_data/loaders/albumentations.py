"""A loader that augments image by image with Albumentations, in worker processes if wanted."""

import os
import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from cifar_data.augmentation.policy import Augmentation, alternating_flips
from cifar_data.loaders.pipeline import make_pipeline
from cifar_data.loaders.tensor import make_sampler
from cifar_data.seeding import derive_generator


class Samples(Protocol):
    """Images with labels, by position: a pair of a uint8 (32, 32, 3) array and a class index."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> tuple[npt.NDArray[np.uint8], int]: ...


class ArraySamples:
    """The images of two arrays at the given indices, one by one.

    >>> samples = ArraySamples(np.zeros((3, 32, 32, 3), np.uint8), np.arange(3), np.array([2, 0]))
    >>> len(samples), [samples[position][1] for position in range(2)]
    (2, [2, 0])
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int64],
    ) -> None:
        self._images = images
        self._labels = labels
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[npt.NDArray[np.uint8], int]:
        index = self._indices[position]
        return self._images[index], int(self._labels[index])


class AlbumentationsDataset(Dataset[tuple[Tensor, int]]):
    """Samples put through the pipeline, indexed by (epoch, position).

    Every draw depends on the seed, the epoch and the position alone: the epoch travels with each index, so
    workers that live on from epoch to epoch need not be told of it. An item is a float32 (3, 32, 32) image,
    normalised, and its label.

    Args:
        samples: The images.
        mean: Of the channels, in [0, 1].
        std: Of the channels, in [0, 1].
        augmentation: What to do to the images; nothing if not given.
        seed: 0 to 2**32 - 1.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self._samples = samples
        self._mean = tuple(mean)
        self._std = tuple(std)
        self._augmentation = augmentation
        self._seed = seed
        self._first_sides = alternating_flips(len(samples), seed=seed, epoch=0)
        self._pipelines = self._make_pipelines()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, position = key
        image, label = self._samples[position]
        pipeline = self._pipelines[(int(self._first_sides[position]) + epoch) % len(self._pipelines)]
        generator = derive_generator(self._seed, "pipeline", epoch, position)
        # Both kinds are drawn from. `set_random_seed` would seed each step anew, at half the pipeline's cost.
        pipeline.set_random_state(generator, random.Random(int(generator.integers(2**62))))  # noqa: S311
        return pipeline(image=image)["image"], label

    def __getstate__(self) -> dict[str, Any]:
        # Unpickling a pipeline, as a spawned worker does, would import Albumentations with its network check.
        return {**self.__dict__, "_pipelines": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pipelines = self._make_pipelines()

    def _make_pipelines(self) -> list[Any]:
        """One pipeline, or for alternating flips one of each side."""
        flip = "none" if self._augmentation is None else self._augmentation.flip
        probabilities = {"random": [0.5], "alternate": [0.0, 1.0], "none": [0.0]}[flip]
        return [
            make_pipeline(self._augmentation, mean=self._mean, std=self._std, flip_probability=probability)
            for probability in probabilities
        ]


class EpochSampler(DistributedSampler[tuple[int, int]]):
    """A DistributedSampler whose items name the epoch with the position."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of epoch and position."""
        return ((self.epoch, cast("int", position)) for position in super().__iter__())


def make_albumentations_loader(
    dataset: AlbumentationsDataset,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool = False,
    drop_last: bool = False,
    seed: int = 0,
    num_replicas: int = 1,
    rank: int = 0,
) -> DataLoader[tuple[Tensor, int]]:
    """A DataLoader with the order, the batches and the memory format of `TensorLoader`.

    Args:
        dataset: What to load.
        batch_size: Images per batch.
        num_workers: Worker processes, 0 = none; the batches do not depend on it.
        shuffle: Whether each epoch has an order of its own.
        drop_last: Whether a last batch smaller than the others is left out.
        seed: Of the order, 0 to 2**32 - 1.
        num_replicas: Number of processes that share the images.
        rank: Which of these processes this is, from 0.

    Returns:
        Batches of float32 (B, 3, 32, 32) images in torch.channels_last and int64 (B,) labels.
    """
    sampler = make_sampler(
        len(dataset), shuffle=shuffle, seed=seed, num_replicas=num_replicas, rank=rank, kind=EpochSampler
    )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_collate,
        drop_last=drop_last,
        persistent_workers=num_workers > 0,
        worker_init_fn=_start_worker,
        # Without one of its own a DataLoader draws from torch's global generator.
        generator=torch.Generator().manual_seed(seed),
    )


def default_workers(processes: int) -> int:
    """The CPUs of this machine divided among its training processes, from 1 to 4.

    >>> 1 <= default_workers(2) <= default_workers(1) <= 4
    True
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cpus // processes, 1), 4)


def _collate(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    images = torch.stack([image for image, _ in items]).contiguous(memory_format=torch.channels_last)
    return images, torch.tensor([label for _, label in items], dtype=torch.int64)


def _start_worker(worker: int) -> None:
    """Keep a worker to one thread: more would compete, and thread pools do not survive a fork."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
