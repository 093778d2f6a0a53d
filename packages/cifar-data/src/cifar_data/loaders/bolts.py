"""Loading and splitting by Lightning Bolts' CIFAR10DataModule, fed with our arrays."""

import platform
import warnings
from typing import Any

from cifar_data.dataset.arrays import ImageDataset, Split


def open_bolts(dataset: ImageDataset, *, val_size: int = 0, seed: int = 0) -> Any:
    """Returns Lightning Bolts' CIFAR10DataModule with our images, loaded and split.

    It has the subsets `dataset_train` and `dataset_val` of the training images, and `dataset_test`. The split is Bolts'
    own, `random_split` by torch's generator: not stratified.
    """

    def load(data_dir: str, *, train: bool, **_: Any) -> Split:
        # In place of torchvision's CIFAR10. Without its transform ToTensor: our pipeline takes the plain image.
        return dataset.train if train else dataset.test

    module = import_bolts()(data_dir="", val_split=val_size, seed=seed)
    module.dataset_cls = load
    module.setup()
    return module


def import_bolts() -> Any:
    """Imports Lightning Bolts' CIFAR10DataModule class."""
    try:
        # Bolts 0.7.0, its last release, warns of deprecations in other libraries: nothing to act on. Some
        # of it gets past "ignore", by a filter that Bolts installs, and so is recorded and dropped.
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("ignore")
            from pl_bolts.datamodules import CIFAR10DataModule
    except ImportError as error:
        raise ImportError(
            f"the loader bolts needs Lightning Bolts ({error}), on this Python {platform.python_version()}: "
            'pip install "cifar-data[bolts]". Or use the loader tensor (--data.loader tensor)'
        ) from error
    return CIFAR10DataModule
