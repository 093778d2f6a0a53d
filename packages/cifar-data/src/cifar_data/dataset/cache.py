"""Decoded images on disk: written once, whole or not at all, then opened as memory maps.

<cache folder>/decoded/<key of the source files>/
    train_images.npy  train_labels.npy  test_images.npy  test_labels.npy  meta.json
"""

import errno
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
import numpy.typing as npt
import platformdirs
from filelock import FileLock

from cifar_data.dataset.arrays import ImageDataset, Split
from cifar_data.dataset.decode import SIDE
from cifar_data.dataset.errors import DataError
from cifar_data.dataset.layout import Layout

#: Part of every key: raise it whenever the files or the decoding change.
FORMAT_VERSION = 2

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_logger = logging.getLogger(__name__)


def resolve_cache_dir(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the cache folder: the argument, else `CIFAR_CACHE_DIR`, else the user's cache folder.

    >>> resolve_cache_dir("here").name
    'here'
    """
    chosen = cache_dir or os.environ.get("CIFAR_CACHE_DIR")
    folder = (
        Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("cifar-data", appauthor=False)
    )
    return folder.absolute()


def entry_path(layout: Layout, cache_dir: Path) -> Path:
    """Return where the decoded form of these files is kept, whether it is there yet or not.

    The name depends on the files' paths, sizes and times of change, so a changed file is decoded anew.

    Raises:
        OSError: If a file cannot be looked at.
    """
    stats = [(str(path), path.stat()) for path in layout.files]
    key = [FORMAT_VERSION, layout.kind, [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]]
    return cache_dir / "decoded" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def open_cached(layout: Layout, cache_dir: Path, *, read: Callable[[], ImageDataset]) -> ImageDataset:
    """Return the dataset as memory maps, decoding it first unless that has been done.

    Of several processes that ask at once, one decodes and the others wait for it.

    Args:
        layout: The source files.
        cache_dir: Where entries are kept.
        read: Decodes the source files.

    Raises:
        DataError: From `read`, if the source changes meanwhile, or if the cache cannot be written.
    """
    entry = entry_path(layout, cache_dir)
    dataset = load_entry(entry)
    if dataset is not None:  # without the lock, so that a read-only cache serves what it has
        return dataset
    with locked(entry, cache_dir):
        dataset = load_entry(entry)
        if dataset is None:
            decoded = read()
            if entry_path(layout, cache_dir) != entry:
                raise DataError(f"{layout.root} was changed while it was read; try again")
            with explained_errors(cache_dir):
                write_entry(entry, decoded)
                dataset = _load(entry)
    return dataset


def load_entry(entry: Path) -> ImageDataset | None:
    """Return a written entry as memory maps, or None if there is none or it is damaged (which is logged)."""
    if not entry.is_dir():
        return None
    try:
        return _load(entry)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        _logger.warning("The cache entry %s is damaged (%s) and will be written anew", entry, error)
        return None


def write_entry(entry: Path, dataset: ImageDataset) -> None:
    """Write an entry, which appears under its name only when it is complete. The caller holds the lock.

    Raises:
        OSError: If it cannot be written; then what was there before is still there, and nothing else.
    """
    for stale in entry.parent.glob(f".{entry.name}.*"):  # of a process that was killed: we hold the lock
        if stale.is_dir():
            shutil.rmtree(stale)
    new, old = (entry.parent / f".{entry.name}.{word}" for word in ("new", "old"))
    try:
        new.mkdir()
        sizes = {name: _write_array(new / f"{name}.npy", array) for name, array in _arrays(dataset).items()}
        meta = {
            "format": FORMAT_VERSION,
            "bytes": sizes,
            "train_size": len(dataset.train),
            "test_size": len(dataset.test),
            "classes": dataset.classes,
            "mean": dataset.mean,
            "std": dataset.std,
            "fingerprint": dataset.fingerprint,
            "origin": dataset.origin,
        }
        _write_synced(new / "meta.json", json.dumps(meta, indent=2).encode())
        if entry.exists():  # a damaged one: a folder with content cannot be replaced in one step
            entry.rename(old)
        new.rename(entry)
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def locked(path: Path, cache_dir: Path) -> Iterator[None]:
    """Hold the lock of something in the cache, for as long as the `with` statement lasts.

    Raises:
        DataError: If the cache cannot be written.
    """
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
    """Turn an `OSError` while writing to the cache into a `DataError` that says what to do."""
    try:
        yield
    except OSError as error:
        home = Path.home()
        read_only = cache_dir.is_relative_to(home) and not os.access(home, os.W_OK)
        where = f" (your home folder {home} is read-only)" if read_only else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        needed = "; CIFAR-10 needs 190 MB there, and 140 to 170 MB more if it is downloaded" if full else ""
        raise DataError(
            f"cannot write to the cache folder {cache_dir}: {error.strerror or error}{where}{needed}. "
            "Set CIFAR_CACHE_DIR to a folder that can be written and has room"
        ) from error


def _arrays(dataset: ImageDataset) -> dict[str, npt.NDArray[Any]]:
    train, test = dataset.train, dataset.test
    return dict(zip(_ARRAYS, (train.images, train.labels, test.images, test.labels), strict=True))


def _load(entry: Path) -> ImageDataset:
    meta = json.loads((entry / "meta.json").read_bytes())
    arrays = {}
    for name in _ARRAYS:
        path = entry / f"{name}.npy"
        if path.stat().st_size != meta["bytes"][name]:
            raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {meta['bytes'][name]}")
        arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    splits = []
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        size = meta[f"{split}_size"]
        right_kind = images.dtype == np.uint8 and labels.dtype == np.int64
        if not right_kind or images.shape != (size, SIDE, SIDE, 3) or labels.shape != (size,):
            raise ValueError(f"{split} has arrays of another type or shape")
        splits.append(Split(images, labels))
    mean, std = ((float(red), float(green), float(blue)) for red, green, blue in (meta["mean"], meta["std"]))
    return ImageDataset(
        train=splits[0],
        test=splits[1],
        classes=tuple(meta["classes"]),
        mean=mean,
        std=std,
        fingerprint=str(meta["fingerprint"]),
        origin=str(meta["origin"]),
    )


def _write_array(path: Path, array: npt.NDArray[Any]) -> int:
    """Write a `.npy` file and return its size in bytes.

    Not as a memory map: writing to one on a full disk kills the process instead of raising.
    """
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave files of the right size without their content
        return file.tell()


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
