"""CIFAR-10 from any common source, as arrays or as a LightningDataModule."""

from importlib import import_module
from typing import Any

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
