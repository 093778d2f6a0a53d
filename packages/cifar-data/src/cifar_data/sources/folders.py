"""A dataset as class folders: the images in `train/<class>/` and `test/<class>/`, also in subfolders of a class."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from cifar_data.dataset.arrays import Content, DataError, Layout, Split
from cifar_data.dataset.decode import ProgressBar, decode_images
from cifar_data.dataset.fingerprint import compose_name

#: Endings of images, in small or capital letters. Of files with other endings the content is looked at.
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Folders that operating systems and network drives add.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")


def find_folder(root: Path) -> Layout | None:
    """Returns the images of a folder with `train` and `test` in it, sorted by class and name, else None."""
    folders = (root / "train", root / "test")
    missing = [folder.name for folder in folders if not folder.is_dir()]
    if len(missing) == 2:
        return None
    if missing:
        raise DataError(f"{root} has no {missing[0]} folder; needed are train/<class>/ and test/<class>/")
    scans, left_out = _scan(root, folders)
    names = sorted({name for classes in scans.values() for name in classes})
    if len(names) < 2:
        raise DataError(f"{root} has {len(names)} class folders in train and test; at least two are needed")
    lacks = {folder: set(names) - classes.keys() for folder, classes in scans.items()}
    if text := "; ".join(f"{folder} lacks {_show(missing)}" for folder, missing in lacks.items() if missing):
        raise DataError(f"{text}. train and test need the same class folders")
    for folder, classes in scans.items():
        if empty := next((folder / name for name in names if not classes[name]), None):
            found = ", ".join(path.name for path in left_out if path.parent == empty) or "nothing"
            raise DataError(f"{empty} has no images that Pillow reads (found {found})")
    train, test = (tuple(path for name in names for path in classes[name]) for classes in scans.values())
    return Layout("folder", root, train, test, left_out=tuple(left_out))


def read_folder(layout: Layout, *, progress: bool) -> Content:
    """Returns the content; images of another size are reduced to the central square and scaled to 32x32 pixels."""
    total = len(layout.train) + len(layout.test)
    with ProgressBar(enabled=progress, total=total, unit="image", desc="Decoding images") as bar:
        train, names = _read_split(layout.train, layout.root / "train", bar)
        test, _ = _read_split(layout.test, layout.root / "test", bar)
    return train, test, names


def _read_split(paths: tuple[Path, ...], folder: Path, bar: ProgressBar) -> tuple[Split, tuple[str, ...]]:
    images = decode_images(paths, fit=True, place=lambda index: str(paths[index]), bar=bar)
    folders = [compose_name(path.relative_to(folder).parts[0]) for path in paths]
    names, labels = np.unique(np.array(folders, dtype=object), return_inverse=True)
    return Split(images, labels.astype(np.int64)), tuple(names)


def _scan(root: Path, folders: tuple[Path, ...]) -> tuple[dict[Path, dict[str, list[Path]]], list[Path]]:
    """Returns the images of each class of both folders in order, and files and images that are not among them."""

    def fail(error: OSError) -> None:
        if any(Path(error.filename).is_relative_to(folder) for folder in folders):
            raise error

    scans: dict[Path, dict[str, list[Path]]] = {folder: {} for folder in folders}
    left_out: list[Path] = []
    for name, subfolders, files in os.walk(root, followlinks=True, onerror=fail):
        here = Path(name)
        split = next((folder for folder in folders if here.is_relative_to(folder)), None)
        below = here.relative_to(split).parts if split else ()
        images = scans[split].setdefault(compose_name(below[0]), []) if split and below else left_out
        for file in sorted(files):
            path, hidden = here / file, file.startswith(".")
            if not hidden and (file.lower().endswith(EXTENSIONS) or _is_image(path)):
                images.append(path)
            elif (split and not hidden) or _is_image(path):  # litter such as .DS_Store needs no mention
                left_out.append(path)
        left_out += [here / folder for folder in subfolders if split and folder.startswith(".")]
        above = [folder.resolve() for folder in (here, *here.parents)]
        subfolders[:] = [  # without links to a folder above, which have no end
            folder
            for folder in sorted(subfolders)
            if not folder.startswith(".")
            and folder not in _OF_SYSTEMS
            and not any(one.is_relative_to((here / folder).resolve()) for one in above)
        ]
    return scans, left_out


def _is_image(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with Image.open(path) as image:  # a stub is a format that Pillow knows but does not read
            return not isinstance(image, ImageFile.StubImageFile)
    except UnidentifiedImageError:
        return False
    except Exception:  # noqa: BLE001 - an image that is damaged, which decoding it will tell
        return True


def _show(names: set[str]) -> str:
    """Returns the names with quotes, so that a space shows, and with codes where letters may look alike."""
    return ", ".join(repr(name) if name.isascii() else f"{name!r} ({name!a})" for name in sorted(names))
