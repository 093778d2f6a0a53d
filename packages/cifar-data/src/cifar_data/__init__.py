"""CIFAR-10 from any common source, as arrays or as a LightningDataModule."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # with `as`, so that type checkers see them as exported
    from cifar_data.augmentation.policy import Augmentation as Augmentation
    from cifar_data.datamodule import CIFAR10DataModule as CIFAR10DataModule
    from cifar_data.dataset.arrays import DataError as DataError
    from cifar_data.dataset.arrays import ImageDataset as ImageDataset
    from cifar_data.dataset.arrays import Split as Split
    from cifar_data.dataset.fingerprint import CANONICAL_CLASSES as CANONICAL_CLASSES
    from cifar_data.dataset.fingerprint import CANONICAL_FINGERPRINT as CANONICAL_FINGERPRINT
    from cifar_data.dataset.fingerprint import is_canonical as is_canonical
    from cifar_data.dataset.split import stratified_split as stratified_split
    from cifar_data.loaders.tensor import TensorLoader as TensorLoader
    from cifar_data.preview import render_preview as render_preview
    from cifar_data.sources.open import open_dataset as open_dataset
    from cifar_data.sources.synthetic import SYNTHETIC_CLASSES as SYNTHETIC_CLASSES
    from cifar_data.sources.synthetic import make_synthetic as make_synthetic

# Names are imported at first use, so that `import cifar_data` costs nothing.
_HOMES = {
    "augmentation.policy": ("Augmentation",),
    "datamodule": ("CIFAR10DataModule",),
    "dataset.arrays": ("DataError", "ImageDataset", "Split"),
    "dataset.fingerprint": ("CANONICAL_CLASSES", "CANONICAL_FINGERPRINT", "is_canonical"),
    "dataset.split": ("stratified_split",),
    "loaders.tensor": ("TensorLoader",),
    "preview": ("render_preview",),
    "sources.open": ("open_dataset",),
    "sources.synthetic": ("SYNTHETIC_CLASSES", "make_synthetic"),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
