"""Decoded images on disk: written once, completely or not at all, then opened as memory maps.

<cache folder>/decoded/<key of the source files>/
    train_images.npy  train_labels.npy  test_images.npy  test_labels.npy  meta.json
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock

from cifar_data.dataset.arrays import SIDE, DataError, ImageDataset, Layout, Split, as_channels

#: Part of every key: raise it whenever the files or the decoding change.
FORMAT_VERSION = 3

_META = ("classes", "mean", "std", "fingerprint", "origin")  # stored beside the arrays

_logger = logging.getLogger(__name__)


def resolve_cache_dir(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Returns the cache folder: the argument, else `CIFAR_CACHE_DIR`, else the user's cache folder."""
    chosen = cache_dir or os.environ.get("CIFAR_CACHE_DIR")
    try:
        place = chosen or platformdirs.user_cache_path("cifar-data", appauthor=False)
    except RuntimeError as error:
        raise DataError(f"cache folder: {error}. Set CIFAR_CACHE_DIR to a writable folder") from error
    return expand_home(place, name="cache folder").absolute()


def expand_home(path: str | os.PathLike[str], *, name: str) -> Path:
    """Returns a path with the home folder in place of `~`; a home that is not known is a `DataError`."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{name} {path}: {error} Give the full path") from error


def entry_path(layout: Layout, cache_dir: Path) -> Path:
    """Returns the folder of the decoded form of these files, named by their paths, sizes and times of change."""
    stats = [(str(path), path.stat()) for path in layout.files]
    key = [FORMAT_VERSION, layout.kind, [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]]
    return cache_dir / "decoded" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def open_cached(layout: Layout, cache_dir: Path, *, read: Callable[[], ImageDataset]) -> ImageDataset:
    """Returns the dataset as memory maps; one process decodes it with `read` if needed, and all others wait for it."""
    entry = entry_path(layout, cache_dir)
    if (dataset := load_entry(entry)) is not None:  # without the lock, so that a read-only cache can be used
        return dataset
    with locked(entry, cache_dir):
        if (dataset := load_entry(entry)) is None:
            dataset = read()
            if entry_path(layout, cache_dir) != entry:
                raise DataError(f"{layout.root} was changed while it was read; try again")
            with explained_errors(cache_dir):
                write_entry(entry, dataset)
    return load_entry(entry) or dataset


def load_entry(entry: Path) -> ImageDataset | None:
    """Returns an entry as memory maps, or None if there is none or it is damaged, which is logged."""
    if not entry.is_dir():
        return None
    try:
        meta = json.loads((entry / "meta.json").read_bytes())
        classes, mean, std, *others = (meta[name] for name in _META)
        train, test = (_load_split(entry, name) for name in ("train", "test"))
        return ImageDataset(train, test, tuple(classes), as_channels(mean), as_channels(std), *others)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        _logger.warning("The cache entry %s is damaged (%s) and is written again", entry, error)
        return None


def write_entry(entry: Path, dataset: ImageDataset) -> None:
    """Writes an entry, which gets its name only when it is complete. The caller holds the lock."""
    new = entry.with_name(f".{entry.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # left by a process that was killed: we hold the lock
    try:
        new.mkdir()
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            for kind, array in (("images", split.images), ("labels", split.labels)):
                with _synced(new / f"{name}_{kind}.npy") as file:
                    np.save(file, array, allow_pickle=False)
        with _synced(new / "meta.json") as file:
            file.write(json.dumps({name: getattr(dataset, name) for name in _META}, indent=2).encode())
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one, which cannot be replaced in one step
        new.rename(entry)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def locked(path: Path, cache_dir: Path) -> Iterator[None]:
    """Holds the lock of a file or folder in the cache."""
    with explained_errors(cache_dir):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained_errors(cache_dir: Path) -> Iterator[None]:
    """Turns errors while writing to the cache, or locking it, into a `DataError` that says what to do."""
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot write to the cache folder {cache_dir}: {reason}. Set CIFAR_CACHE_DIR to a writable folder, on a "
            "disk that can lock files, with room for 190 MB (decoded CIFAR-10), or 360 MB if it is downloaded"
        ) from error


def _load_split(entry: Path, name: str) -> Split:
    images, labels = (  # a truncated file cannot be mapped
        np.load(entry / f"{name}_{kind}.npy", mmap_mode="r", allow_pickle=False)
        for kind in ("images", "labels")
    )
    right_kind = images.dtype == np.uint8 and labels.dtype == np.int64
    if not right_kind or images.shape != (len(labels), SIDE, SIDE, 3):
        raise ValueError(f"{name} has arrays of another type or shape")
    return Split(images, labels)


@contextmanager
def _synced(path: Path) -> Iterator[Any]:
    """Opens a file to write; its content is on the disk before anything is renamed, against power cuts."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
