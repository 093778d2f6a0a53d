"""CIFAR-10 as its authors publish it: the folder `cifar-10-batches-py`, or the tarball of it."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cifar_data.dataset.arrays import Split
from cifar_data.dataset.decode import SIDE
from cifar_data.dataset.errors import DataError
from cifar_data.dataset.layout import Layout
from cifar_data.dataset.progress import progress_bar
from cifar_data.sources.safe_pickle import PickledArray, load_inert

FOLDER = "cifar-10-batches-py"
TARBALL = "cifar-10-python.tar.gz"
#: Source: https://www.cs.toronto.edu/~kriz/cifar.html
TARBALL_MD5 = "c58f30108f718f92721af3b95e74349a"

_META = "batches.meta"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
_NAMES = (*_TRAIN, *_TEST, _META)
_MEMBER_BYTES = 200_000_000  # a batch has 31 MB; a member far beyond that is no batch, so it is not unpacked

_CHUNK = 1 << 20


def find_batches(root: Path) -> Layout | None:
    """Return the batch files in `cifar-10-batches-py` under a folder, or in the folder itself, else None.

    Raises:
        DataError: If some of the files are there and others are missing.
    """
    for folder in (root / FOLDER, root):
        missing = [name for name in _NAMES if not (folder / name).is_file()]
        if not missing:
            train, test = ([folder / name for name in names] for names in (_TRAIN, _TEST))
            return Layout("batches", folder, tuple(train), tuple(test), (folder / _META,))
        if len(missing) < len(_NAMES) or (folder.name == FOLDER and folder.is_dir()):
            raise DataError(
                f"{folder} lacks {', '.join(missing)}; needed are data_batch_1 to data_batch_5, test_batch "
                "and batches.meta"
            )
    return None


def find_tarball(root: Path) -> Layout | None:
    """Return the tarball if the path is one or a folder with `cifar-10-python.tar.gz` in it, else None."""
    path = root if root.name.endswith((".tar.gz", ".tgz")) else root / TARBALL
    return Layout("tarball", path, (path,), (path,)) if path.is_file() else None


def read_batches(layout: Layout, *, progress: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """Return the training split, the test split and the class names of a batches folder.

    Raises:
        DataError: Naming the file that is damaged or not a batch.
    """
    pairs = ((path.name, path.read_bytes()) for path in layout.files)
    return _assemble(pairs, layout, progress=progress)


def read_tarball(layout: Layout, *, progress: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """Return the training split, the test split and the class names of a tarball, unpacking nothing to disk.

    Raises:
        DataError: Naming the tarball, with its expected and found MD5 if it is truncated or altered.
    """
    path = layout.root
    try:
        return _assemble(_unpack(path), layout, progress=progress)
    except DataError as error:
        raise DataError(
            f"{error}; expected md5 {TARBALL_MD5}, found {_md5(path)}. Replace it by an intact one"
        ) from error


def _assemble(
    pairs: Iterable[tuple[str, bytes]], layout: Layout, *, progress: bool
) -> tuple[Split, Split, tuple[str, ...]]:
    parts: dict[str, Any] = {}
    with progress_bar(
        len(_NAMES), unit="file", description=f"Reading {layout.kind}", enabled=progress
    ) as bar:
        for name, data in pairs:
            try:
                parts[name] = _parse(name, data)
            except DataError as error:
                raise DataError(f"{layout.root}: {name}: {error}") from error
            bar.update()
    missing = [name for name in _NAMES if name not in parts]
    if missing:
        raise DataError(f"{layout.root} lacks {', '.join(missing)}; needed are {', '.join(_NAMES)}")
    train, test = (_join([parts[name] for name in names]) for names in (_TRAIN, _TEST))
    return train, test, parts[_META]


def _unpack(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each batch file, in the tarball's own order."""
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                parent, _, name = member.name.rpartition("/")
                if name not in _NAMES or parent.rpartition("/")[2] != FOLDER or not member.isfile():
                    continue
                if member.size > _MEMBER_BYTES:
                    raise DataError(
                        f"{path}: {member.name} has {member.size:,} bytes; a batch has 31 million"
                    )
                file = tar.extractfile(member)
                if file is not None:
                    yield name, file.read()
            while stream.read(_CHUNK):  # gzip compares its checksum only at the very end
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: truncated or altered, not readable as a tarball: {error}") from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        # Not for security: the authors publish no other checksum.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _parse(name: str, data: bytes) -> Any:
    """Return the class names of batches.meta, or a `Split` for a batch."""
    content = load_inert(data)
    if not isinstance(content, dict):
        raise DataError(f"holds {type(content).__name__}, not a dictionary")
    if name == _META:
        names = content.get("label_names")
        if not isinstance(names, list) or len(names) < 2 or not all(isinstance(n, str) for n in names):
            raise DataError(f"label_names is {names!r}; needed is a list of two or more names")
        return tuple(names)
    pixels, labels = content.get("data"), content.get("labels")
    if not isinstance(pixels, PickledArray) or not isinstance(labels, list):
        raise DataError(f"has the keys {list(content)}; needed are data (an array) and labels (a list)")
    rows = pixels.to_uint8()
    if rows.ndim != 2 or rows.shape[1] != 3 * SIDE * SIDE or len(rows) != len(labels):
        raise DataError(
            f"data has the shape {rows.shape} for {len(labels)} labels; "
            f"needed is one row of {3 * SIDE * SIDE} bytes (32x32 pixels) per label"
        )
    wrong = next((index for index, label in enumerate(labels) if type(label) is not int), None)
    if wrong is not None:
        raise DataError(f"label {wrong} is {labels[wrong]!r}; needed are whole numbers")
    # (N, 3072), channel by channel, to (N, 32, 32, 3)
    images = np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    return Split(images, np.array(labels, dtype=np.int64))


def _join(parts: list[Split]) -> Split:
    return Split(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
