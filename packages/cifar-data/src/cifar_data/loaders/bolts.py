"""Loading and splitting by Lightning Bolts' CIFAR10DataModule, fed with our arrays."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Subset

from cifar_data.dataset.arrays import ImageDataset


class BoltsSamples:
    """A split as the dataset class that Lightning Bolts instantiates, in the place of torchvision's CIFAR10.

    Args:
        dataset: The images.
        root: Where Bolts believes them to be; not looked at.
        train: The training split or the test split.
        transform: Applied to each uint8 (32, 32, 3) image, if given.
        download: Not looked at: the images are here already.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        root: str,
        *,
        train: bool = True,
        transform: Callable[[npt.NDArray[np.uint8]], Any] | None = None,
        download: bool = False,
    ) -> None:
        self._split = dataset.train if train else dataset.test
        self._transform = transform

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self._split.images[index]
        return (image if self._transform is None else self._transform(image)), int(self._split.labels[index])


def open_bolts_part(dataset: ImageDataset, part: str, *, val_size: int, seed: int) -> Subset[Any]:
    """One part of a dataset of ours, as Lightning Bolts' CIFAR10DataModule loads and splits it.

    The split is Bolts' own, `random_split` by torch's generator: not stratified.

    Args:
        dataset: The images.
        part: `train`, `val` or `test`.
        val_size: How many training images Bolts holds out.
        seed: Of the split.

    Returns:
        Uint8 (32, 32, 3) images with their labels. Its `indices` count in the whole training or test split.

    Raises:
        ImportError: If Lightning Bolts or what it needs is missing.
    """
    module = import_bolts()(
        data_dir="",
        val_split=val_size,
        seed=seed,
        # Left to itself Bolts would apply torchvision's ToTensor; our pipeline wants the plain image.
        train_transforms=_unchanged,
        val_transforms=_unchanged,
        test_transforms=_unchanged,
    )
    module.dataset_cls = partial(BoltsSamples, dataset)
    if part == "test":
        module.setup("test")
        return Subset(module.dataset_test, range(len(module.dataset_test)))
    module.setup("fit")
    return {"train": module.dataset_train, "val": module.dataset_val}[part]


def import_bolts() -> Any:
    """Lightning Bolts' CIFAR10DataModule class.

    Raises:
        ImportError: If Lightning Bolts or what it needs is missing.
    """
    try:
        # Bolts 0.7.0, its last release, warns of what others have deprecated since: nothing to act on. Some
        # of it gets past "ignore", by a filter that Bolts installs, and so is recorded and dropped.
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("ignore")
            from pl_bolts.datamodules import CIFAR10DataModule
    except ImportError as error:
        raise ImportError(
            f"the loader 'bolts' needs Lightning Bolts ({error}): pip install \"cifar-data[bolts]\""
        ) from error
    return CIFAR10DataModule


def _unchanged(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image
