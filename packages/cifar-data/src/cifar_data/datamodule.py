"""The LightningDataModule: one interface over all sources and all loaders."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Subset

from cifar_data.augmentation.batch_ops import normalize_batch
from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import Channels, ImageDataset
from cifar_data.dataset.split import stratified_split
from cifar_data.loaders import albumentations
from cifar_data.loaders.bolts import open_bolts
from cifar_data.loaders.tensor import TensorLoader
from cifar_data.seeding import derive_generator
from cifar_data.sources.open import open_dataset
from cifar_data.validation import check_integer, check_settings, check_sizes

Indices = npt.NDArray[np.int64]
Batches = Iterable[tuple[Tensor, Tensor]]


class CIFAR10DataModule(L.LightningDataModule):
    """CIFAR-10 for Lightning: the images, their split, augmentation and batches.

    Batches are pairs of float32 (B, 3, 32, 32) images, normalised per channel, in the memory format
    torch.channels_last, and int64 (B,) labels. Training batches are all of one size: the images left over
    at the end of an epoch are dropped, others each time. Evaluation keeps every image, in order. The test
    images are not accessed before the test.

    Args:
        root: Folder or file of the images. If not given: the environment variable CIFAR_DATA_DIR, else the user's
            cache, else a download.
        source: Kind of data: auto (any that is found), parquet, batches, tarball, folder or synthetic.
        loader: tensor (whole batches in memory, fastest), albumentations (image by image) or bolts
            (Lightning Bolts loads and splits, Albumentations augments).
        batch_size: Training images per process and step, from 1 to the number trained on.
        eval_batch_size: Validation or test images per process and step, at least 1, and at most the number
            of test images (10,000 for CIFAR-10). On a CPU about a hundred are fastest; a GPU takes more.
        val_size: Training images held out for validation, from 0 (none) to 49999 of CIFAR-10's 50000.
        split_seed: Seed of the choice of the images held out, 0 to 4294967295.
        seed: Seed of the order and the augmentation, 0 to 4294967295.
        num_workers: Worker processes of the loaders albumentations and bolts, 0 = none. If not given: the CPUs of
            this machine divided among the training processes, 1 to 4. The batches do not depend on it.
        augmentation: Augmentation of the training images.
        cache_dir: Folder of the decoded images. If not given: CIFAR_CACHE_DIR, else the user's cache.
        train_limit: Train on this many images only, chosen in proportion to the classes, for quick tries; from 1 to
            the number not held out. All if not given.

    An argument out of its range is a `ValueError` before any data is read; sizes that depend on the images are checked
    by `setup("fit")`.
    """

    def __init__(
        self,
        root: str | None = None,
        source: str = "auto",
        *,
        loader: str = "tensor",
        batch_size: int = 512,
        eval_batch_size: int = 100,
        val_size: int = 5000,
        split_seed: int = 0,
        seed: int = 0,
        num_workers: int | None = None,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        cache_dir: str | None = None,
        train_limit: int | None = None,
    ) -> None:
        super().__init__()
        # Not logged: Lightning refuses to merge them with a model's if, say, both have a `seed`.
        self.save_hyperparameters(logger=False)
        if isinstance(augmentation, Mapping):  # from a checkpoint
            augmentation = Augmentation(**augmentation)
        self.hparams["augmentation"] = asdict(augmentation)
        self.root = root
        self.source = source
        self.loader = loader
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_size = val_size
        self.split_seed = split_seed
        self.seed = seed
        self.num_workers = num_workers
        self.augmentation = augmentation
        self.cache_dir = cache_dir
        self.train_limit = train_limit
        check_settings(vars(self))
        #: An epoch and how many of its first batches are left out: those that a resumed run has trained on.
        self.skip_batches = (0, 0)

    @cached_property
    def dataset(self) -> ImageDataset:
        """All images, opened at first use."""
        return open_dataset(self.root, source=self.source, cache_dir=self.cache_dir)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return self.dataset.classes

    @property
    def mean(self) -> Channels:
        """Mean of the source's training images, per channel, in [0, 1]."""
        return self.dataset.mean

    @property
    def std(self) -> Channels:
        """Standard deviation of the source's training images, per channel, in [0, 1]."""
        return self.dataset.std

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the decoded images, labels and class names, in hex."""
        return self.dataset.fingerprint

    @property
    def train_indices(self) -> Indices:
        """(train_size,), the images of the source's training split to train on."""
        return self._split[0]

    @property
    def val_indices(self) -> Indices:
        """(val_size,), the images of the source's training split held out for validation."""
        return self._split[1]

    @property
    def train_size(self) -> int:
        """The number of images to train on."""
        return len(self.train_indices)

    def prepare_data(self) -> None:
        """Downloads and decodes what the cache lacks; Lightning calls it in one process per machine."""
        open_dataset(self.root, source=self.source, cache_dir=self.cache_dir)

    def setup(self, stage: str) -> None:
        """Opens the images and, except for a test, splits the training images and checks the sizes asked for."""
        # Here, where errors are expected, and not at the first batch.
        _ = self.dataset if stage == "test" else self._split

    def train_dataloader(self) -> Batches:
        """Returns shuffled, augmented batches of one size."""
        replicas = 1 if self.trainer is None else self.trainer.world_size
        if self.train_size < self.batch_size * replicas:
            raise ValueError(
                f"data.batch_size must be at most {self.train_size // replicas}, the {self.train_size} images"
                f" trained on divided among {replicas} processes, got {self.batch_size}"
            )
        batches: Any = self._make_loader("train", self.train_indices)
        epoch, count = self.skip_batches
        if isinstance(batches, _FixedBatches):
            batches.skip = count
        else:
            # Of a resumed run, Lightning starts the workers on the first batches before it tells the sampler the epoch.
            batches.sampler.set_epoch(epoch)
            batches.sampler.skip = epoch, count * self.batch_size
        return batches

    def val_dataloader(self) -> Batches:
        """Returns the images held out, in order; if there are none an empty list, and Lightning does not validate."""
        return self._make_loader("val", self.val_indices) if len(self.val_indices) else []

    def test_dataloader(self) -> Batches:
        """Returns the source's test images, in order."""
        return self._make_loader("test", np.arange(len(self.dataset.test)))

    def train_inputs(self, count: int, *, seed: int = 0) -> Tensor:
        """Returns distinct training images (count, 3, 32, 32), normalised but not augmented, to initialise a model."""
        check_integer("count", count, low=1, high=self.train_size)
        chosen = derive_generator(seed, "inputs").choice(self.train_indices, count, replace=False)
        images = torch.from_numpy(self.dataset.train.images[chosen])
        return normalize_batch(images, self.mean, std=self.std)

    @cached_property
    def _split(self) -> tuple[Indices, Indices]:
        labels = self.dataset.train.labels
        check_sizes(vars(self), train=len(labels))
        if self.loader == "bolts":  # which splits at random, not in proportion to the classes
            bolts = open_bolts(self.dataset, val_size=self.val_size, seed=self.split_seed)
            subsets = (bolts.dataset_train, bolts.dataset_val)
            train, val = (np.sort(np.asarray(subset.indices, dtype=np.int64)) for subset in subsets)
        else:
            train, val = stratified_split(labels, val_size=self.val_size, seed=self.split_seed)
        if self.train_limit is not None:
            _, kept = stratified_split(labels[train], val_size=self.train_limit, seed=self.split_seed)
            train = train[kept]
        return train, val

    def _make_loader(self, part: str, indices: Indices) -> Batches:
        training = part == "train"
        split = self.dataset.test if part == "test" else self.dataset.train
        images: dict[str, Any] = {"mean": self.mean, "std": self.std, "seed": self.seed}
        images["augmentation"] = self.augmentation if training else None
        order: dict[str, Any] = {"shuffle": training, "drop_last": training}
        order["batch_size"] = self.batch_size if training else self.eval_batch_size
        workers = self.num_workers
        if workers is None:
            workers = albumentations.default_workers(self.trainer.num_devices if self.trainer else 1)
        if self.trainer is not None:
            order |= {"num_replicas": self.trainer.world_size, "rank": self.trainer.global_rank}
        batches: Any
        # Without augmentation both give the same batches, and the tensor loader does without workers.
        if self.loader == "tensor" or (self.loader == "albumentations" and not training):
            batches = TensorLoader(split.images, split.labels, indices=indices, **images, **order)
        else:
            samples: Any = split
            if self.loader == "bolts":  # how it splits does not matter here: the indices choose the images
                bolts = open_bolts(self.dataset)
                samples = bolts.dataset_test if part == "test" else bolts.dataset_train.dataset
            dataset = albumentations.AlbumentationsDataset(Subset(samples, indices.tolist()), **images)
            batches = albumentations.make_loader(dataset, num_workers=workers, seed=self.seed, **order)
        overfit = part != "test" and getattr(self.trainer, "overfit_batches", 0) > 0
        return _FixedBatches(batches) if overfit else batches


class _FixedBatches:
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
