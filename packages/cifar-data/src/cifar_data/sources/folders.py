"""A dataset as class folders of images: `train/<class>/*` and `test/<class>/*`.

Missing folders and damaged files raise a `DataError` that names them.
"""

import os
from pathlib import Path

import numpy as np

from cifar_data.dataset.arrays import DataError, Layout, Split
from cifar_data.dataset.decode import ProgressBar, decode_fitted, decode_images, progress_bar

#: Endings of images, in small or capital letters; other files are ignored.
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_folder(root: Path) -> Layout | None:
    """Returns the images of a folder with `train` and `test` in it, sorted by class and name, else None."""
    folders = {split: root / split for split in ("train", "test")}
    if not any(folder.is_dir() for folder in folders.values()):
        return None
    for split, folder in folders.items():
        if not folder.is_dir():
            raise DataError(f"{root} has no {split} folder; needed are train/<class>/ and test/<class>/")
    classes = {
        split: {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for split, folder in folders.items()
    }
    names = sorted(classes["train"] | classes["test"])
    if len(names) < 2:
        raise DataError(f"{root} has {len(names)} class folders in train and test; at least two are needed")
    for split, folder in folders.items():
        missing = sorted(set(names) - classes[split])
        if missing:
            raise DataError(
                f"{folder} lacks {', '.join(missing)}; train and test need the same class folders"
            )
    train, test = (
        tuple(path for name in names for path in _images(folder / name)) for folder in folders.values()
    )
    return Layout("folder", root, train, test)


def read_folder(layout: Layout, *, progress: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """Returns the training split, the test split and the sorted class names.

    Images of another size are reduced to the central square and scaled to 32x32 pixels.
    """
    classes = tuple(sorted({path.parent.name for path in layout.train}))
    total = len(layout.train) + len(layout.test)
    with progress_bar(enabled=progress, total=total, unit="image", desc="Decoding images") as bar:
        train, test = (_read_split(paths, classes, bar) for paths in (layout.train, layout.test))
    return train, test, classes


def _images(folder: Path) -> list[Path]:
    names = sorted(os.listdir(folder))  # noqa: PTH208 - names are much faster to sort than 60,000 paths
    images = [name for name in names if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]
    if not images:
        found = ", ".join(names[:5]) or "nothing"
        raise DataError(f"{folder} has no images (found {found}); understood are {', '.join(EXTENSIONS)}")
    return [folder / name for name in images]


def _read_split(paths: tuple[Path, ...], classes: tuple[str, ...], bar: ProgressBar) -> Split:
    images = decode_images(paths, decode_fitted, place=lambda index: str(paths[index]), bar=bar)
    index = {name: label for label, name in enumerate(classes)}
    return Split(images, np.array([index[path.parent.name] for path in paths], dtype=np.int64))
