"""CIFAR-10 from any common source, as arrays or as a LightningDataModule.

Names are imported at first use, so `import cifar_data` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_data.augmentation.policy import Augmentation
    from cifar_data.datamodule import CIFAR10DataModule
    from cifar_data.dataset.arrays import ImageDataset, Split
    from cifar_data.dataset.errors import DataError
    from cifar_data.dataset.fingerprint import CANONICAL_CLASSES, CANONICAL_FINGERPRINT, is_canonical
    from cifar_data.dataset.split import stratified_split
    from cifar_data.loaders.tensor import TensorLoader
    from cifar_data.preview import render_preview
    from cifar_data.sources.open import open_dataset
    from cifar_data.sources.synthetic import SYNTHETIC_CLASSES, make_synthetic

__all__ = [
    "CANONICAL_CLASSES",
    "CANONICAL_FINGERPRINT",
    "SYNTHETIC_CLASSES",
    "Augmentation",
    "CIFAR10DataModule",
    "DataError",
    "ImageDataset",
    "Split",
    "TensorLoader",
    "is_canonical",
    "make_synthetic",
    "open_dataset",
    "render_preview",
    "stratified_split",
]

_MODULES = {
    "CANONICAL_CLASSES": "dataset.fingerprint",
    "CANONICAL_FINGERPRINT": "dataset.fingerprint",
    "SYNTHETIC_CLASSES": "sources.synthetic",
    "Augmentation": "augmentation.policy",
    "CIFAR10DataModule": "datamodule",
    "DataError": "dataset.errors",
    "ImageDataset": "dataset.arrays",
    "Split": "dataset.arrays",
    "TensorLoader": "loaders.tensor",
    "is_canonical": "dataset.fingerprint",
    "make_synthetic": "sources.synthetic",
    "open_dataset": "sources.open",
    "render_preview": "preview",
    "stratified_split": "dataset.split",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
