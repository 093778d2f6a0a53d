"""CIFAR-10 from any common source, as arrays or as a LightningDataModule.

Names are imported at first use, so `import cifar_data` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_data.arrays import ImageDataset, Split
    from cifar_data.augment import Augmentation
    from cifar_data.content import CANONICAL_CLASSES, CANONICAL_FINGERPRINT, is_canonical
    from cifar_data.datamodule import CIFAR10DataModule
    from cifar_data.errors import DataError
    from cifar_data.preview import render_preview
    from cifar_data.sources import open_dataset
    from cifar_data.split import stratified_split
    from cifar_data.synthetic import SYNTHETIC_CLASSES, make_synthetic
    from cifar_data.tensor_loader import TensorLoader

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
    "CANONICAL_CLASSES": "content",
    "CANONICAL_FINGERPRINT": "content",
    "SYNTHETIC_CLASSES": "synthetic",
    "Augmentation": "augment",
    "CIFAR10DataModule": "datamodule",
    "DataError": "errors",
    "ImageDataset": "arrays",
    "Split": "arrays",
    "TensorLoader": "tensor_loader",
    "is_canonical": "content",
    "make_synthetic": "synthetic",
    "open_dataset": "sources",
    "render_preview": "preview",
    "stratified_split": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
