"""The one place where the kinds of loader differ: how images are split, and how they are batched."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Subset

from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import ImageDataset
from cifar_data.dataset.split import stratified_split
from cifar_data.loaders.albumentations import (
    AlbumentationsDataset,
    ArraySamples,
    Samples,
    make_albumentations_loader,
)
from cifar_data.loaders.bolts import open_bolts_part
from cifar_data.loaders.tensor import TensorLoader

Indices = npt.NDArray[np.int64]
Batches = Iterable[tuple[Tensor, Tensor]]


def split_indices(
    dataset: ImageDataset, loader: str, *, val_size: int, train_limit: int | None, seed: int
) -> tuple[Indices, Indices]:
    """Which training images are trained on and which are held out.

    Args:
        dataset: The images.
        loader: `bolts` leaves the choice to Lightning Bolts; all others split in proportion to the classes.
        val_size: How many to hold out.
        train_limit: How many of the others to use, in proportion to the classes; all if None.
        seed: Of the choice.

    Returns:
        Two sorted arrays.

    >>> from cifar_data.sources.synthetic import make_synthetic
    >>> dataset = make_synthetic(train_size=100, test_size=10)
    >>> train, val = split_indices(dataset, "tensor", val_size=20, train_limit=50, seed=0)
    >>> len(train), len(val)
    (50, 20)
    """
    labels = dataset.train.labels
    if loader == "bolts":
        parts = [open_bolts_part(dataset, part, val_size=val_size, seed=seed) for part in ("train", "val")]
        train, val = (np.sort(np.asarray(part.indices, dtype=np.int64)) for part in parts)
    else:
        train, val = stratified_split(labels, val_size=val_size, seed=seed)
    if train_limit is not None:
        _, kept = stratified_split(labels[train], val_size=train_limit, seed=seed)
        train = train[kept]
    return train, val


def make_loader(
    dataset: ImageDataset,
    part: str,
    *,
    indices: Indices,
    loader: str,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    num_replicas: int,
    rank: int,
    num_workers: int,
) -> Batches:
    """The batches of one part of a dataset.

    Args:
        dataset: The images.
        part: `train` (shuffled, augmented, batches of one size), `val` or `test` (in order, all of them).
        indices: Which images of the training split, or for `test` of the test split.
        loader: `tensor`, `albumentations` or `bolts`.
        augmentation: What is done to training images.
        batch_size: Images per process and step.
        seed: Of order and augmentation.
        num_replicas: Number of processes.
        rank: Which of them this is.
        num_workers: Worker processes, of loaders that have any.

    Returns:
        A loader of float32 (B, 3, 32, 32) images in torch.channels_last and int64 (B,) labels, with a length
        and a DistributedSampler as `sampler`.

    >>> from cifar_data.sources.synthetic import make_synthetic
    >>> dataset = make_synthetic(train_size=100, test_size=10)
    >>> processes = {"num_replicas": 1, "rank": 0, "num_workers": 0}
    >>> options = {"loader": "tensor", "augmentation": Augmentation(), "seed": 0} | processes
    >>> len(make_loader(dataset, "train", indices=np.arange(100), batch_size=30, **options))
    3
    """
    training = part == "train"
    split = dataset.test if part == "test" else dataset.train
    images: dict[str, Any] = {"mean": dataset.mean, "std": dataset.std, "seed": seed}
    images["augmentation"] = augmentation if training else None
    order: dict[str, Any] = {"batch_size": batch_size, "shuffle": training, "drop_last": training}
    order |= {"num_replicas": num_replicas, "rank": rank}
    # Without augmentation both give the same batches, and the tensor loader does without workers.
    if loader == "tensor" or (loader == "albumentations" and not training):
        return TensorLoader(split.images, split.labels, indices=indices, **images, **order)
    samples: Samples = ArraySamples(split.images, split.labels, indices=indices)
    if loader == "bolts":
        # How Bolts splits does not matter here: the indices say which of its images are wanted.
        whole = open_bolts_part(dataset, part, val_size=0, seed=0).dataset
        samples = Subset(whole, indices.tolist())
    pipeline = AlbumentationsDataset(samples, **images)
    return make_albumentations_loader(pipeline, num_workers=num_workers, seed=seed, **order)
