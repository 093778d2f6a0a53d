"""The one place where the kinds of loader differ: how images are split, and how they are batched."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Subset

from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import ImageDataset
from cifar_data.dataset.split import stratified_split
from cifar_data.loaders.albumentations import AlbumentationsDataset, make_albumentations_loader
from cifar_data.loaders.bolts import open_bolts
from cifar_data.loaders.tensor import TensorLoader

Indices = npt.NDArray[np.int64]
Batches = Iterable[tuple[Tensor, Tensor]]


class FixedBatches:
    """The batches of a loader's first epoch in every epoch, to overfit a network to them.

    Lightning finds no sampler here that it could advance, or replace by one in order. The first iteration leaves out
    `skip` batches, on which a resumed run has trained.
    """

    skip = 0

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator begins with its first batch: Lightning makes an iterator only to see that it can.
        skip, self.skip = self.skip, 0
        yield from islice(self._loader, skip, None)


def split_indices(
    dataset: ImageDataset, loader: str, *, val_size: int, train_limit: int | None, seed: int
) -> tuple[Indices, Indices]:
    """Returns the sorted indices of the images to train on, and of those held out for validation.

    The loader `bolts` splits as Lightning Bolts does, all others in proportion to the classes. Of the images to train
    on, `train_limit` are kept, in proportion to the classes.

    >>> from cifar_data.sources.synthetic import make_synthetic
    >>> dataset = make_synthetic(train_size=100, test_size=10)
    >>> train, val = split_indices(dataset, "tensor", val_size=20, train_limit=50, seed=0)
    >>> len(train), len(val)
    (50, 20)
    """
    labels = dataset.train.labels
    if loader == "bolts":
        bolts = open_bolts(dataset, val_size=val_size, seed=seed)
        parts = (bolts.dataset_train, bolts.dataset_val)
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
    num_workers: int,
    seed: int,
    **order: int,
) -> Batches:
    """Returns the batches of one part of a dataset, with `batch_size`, `num_replicas` and `rank` of `TensorLoader`.

    The part is `train` (shuffled, augmented, batches of one size), `val` or `test` (in order, all images), and the
    indices are those in the training split, or for `test` in the test split.
    """
    training = part == "train"
    split = dataset.test if part == "test" else dataset.train
    images: dict[str, Any] = {"mean": dataset.mean, "std": dataset.std, "seed": seed}
    images["augmentation"] = augmentation if training else None
    batches: dict[str, Any] = {**order, "shuffle": training, "drop_last": training}
    # Without augmentation both give the same batches, and the tensor loader does without workers.
    if loader == "tensor" or (loader == "albumentations" and not training):
        return TensorLoader(split.images, split.labels, indices=indices, **images, **batches)
    samples: Any = split
    if loader == "bolts":  # how it splits does not matter here: the indices choose the images
        bolts = open_bolts(dataset)
        samples = bolts.dataset_test if part == "test" else bolts.dataset_train.dataset
    pipeline = AlbumentationsDataset(Subset(samples, indices.tolist()), **images)
    return make_albumentations_loader(pipeline, num_workers=num_workers, seed=seed, **batches)
