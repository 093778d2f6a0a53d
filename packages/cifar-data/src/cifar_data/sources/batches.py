"""CIFAR-10 as its authors publish it: the folder `cifar-10-batches-py`, or the tarball of it.

The batches are pickles, and a pickle may call any function it names. Here it can name only the few that describe a
NumPy array, and gets inert stand-ins for them: nothing of a file is executed.
"""

import gzip
import hashlib
import io
import math
import pickle
import pickletools
import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from cifar_data.dataset.arrays import SIDE, Content, DataError, Layout, Split
from cifar_data.dataset.decode import ProgressBar
from cifar_data.dataset.fingerprint import TARBALL, TARBALL_MD5

#: Name of the folder, and of the files in it.
BATCHES = "cifar-10-batches-py"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
_META = "batches.meta"
BATCH_NAMES = (*_TRAIN, *_TEST, _META)
#: Needed of a folder, in words.
NEEDED = f"{BATCHES}, or the files {', '.join(BATCH_NAMES)}"

_MEMBER_BYTES = 200_000_000  # a batch has 31 MB; a far larger member is no batch, and is not unpacked


def find_batches(root: Path) -> Layout | None:
    """Returns the batch files in `cifar-10-batches-py` under a folder, or in the folder itself, else None."""
    for folder in (root / BATCHES, root):
        found = [name for name in BATCH_NAMES if (folder / name).is_file()]
        if found or (folder.name == BATCHES and folder.is_dir()):
            _check_complete(folder, found)
            train, test = (tuple(folder / name for name in names) for names in (_TRAIN, _TEST))
            return Layout("batches", folder, train, test, (folder / _META,))
    return None


def find_tarball(root: Path) -> Layout | None:
    """Returns the tarball if the path is one or a folder with `cifar-10-python.tar.gz` in it, else None."""
    path = root if root.name.endswith((".tar.gz", ".tgz")) else root / TARBALL
    return Layout("tarball", path, (path,), (path,)) if path.is_file() else None


def read_tarball(layout: Layout, *, progress: bool) -> Content:
    """Returns the content of a tarball, unpacking nothing to disk."""
    path = layout.root
    try:
        return read_batches(layout, progress=progress, files=_unpack(path))
    except DataError as error:
        with path.open("rb") as file:  # not for security: the authors publish no other checksum
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        md5 = f"expected md5 {TARBALL_MD5}, found {found}"
        raise DataError(f"{error}; {md5}. Replace it by an intact one") from error


def read_batches(
    layout: Layout, *, progress: bool, files: Iterable[tuple[str, bytes]] | None = None
) -> Content:
    """Returns the content of the batch files, or of `files` in memory."""
    parts: dict[str, Any] = {}
    total = len(BATCH_NAMES)
    with ProgressBar(enabled=progress, total=total, unit="file", desc=f"Reading {layout.kind}") as bar:
        for name, data in files or ((path.name, path.read_bytes()) for path in layout.files):
            try:
                parts[name] = _class_names(load_pickle(data)) if name == _META else _split(load_pickle(data))
            except DataError as error:
                raise DataError(f"{layout.root}: {name}: {error}") from error
            bar.update()
    _check_complete(layout.root, parts)
    train, test = (Split.join([parts[name] for name in names]) for names in (_TRAIN, _TEST))
    return train, test, parts[_META]


def _check_complete(place: Path, found: Collection[str]) -> None:
    if missing := [name for name in BATCH_NAMES if name not in found]:
        raise DataError(f"{place} lacks {', '.join(missing)}; needed are {', '.join(BATCH_NAMES)}")


def _unpack(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of each batch file, in the tarball's own order."""
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                inner = Path(member.name)
                if inner.name not in BATCH_NAMES or inner.parent.name != BATCHES or not member.isfile():
                    continue
                if member.size > _MEMBER_BYTES:
                    size = f"{member.size:,} bytes; a batch has 31 million"
                    raise DataError(f"{path}: {member.name} has {size}")
                if (file := tar.extractfile(member)) is not None:
                    yield inner.name, file.read()
            while stream.read(1 << 20):  # gzip compares its checksum only at the very end
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: truncated or altered, not readable as a tarball: {error}") from error


def _class_names(content: dict[Any, Any]) -> tuple[str, ...]:
    names = content.get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"label_names is {names!r}; needed is a list of names")
    return tuple(names)


def _split(content: dict[Any, Any]) -> Split:
    pixels, labels = content.get("data"), content.get("labels")
    if not isinstance(pixels, PickledArray) or not isinstance(labels, list):
        raise DataError(f"has the keys {list(content)}; needed are data (an array) and labels (a list)")
    rows = pixels.to_uint8()
    needed = (len(labels), 3 * SIDE * SIDE)
    if rows.shape != needed:
        raise DataError(f"data has the shape {rows.shape}; needed is {needed}, 3 x 32 x 32 bytes a label")
    if wrong := [label for label in labels if type(label) is not int]:
        raise DataError(f"has the label {wrong[0]!r}; needed are whole numbers")
    # (N, 3072), channel by channel, to (N, 32, 32, 3)
    images = np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    return Split(images, np.array(labels, dtype=np.int64))


class PickledArray:
    """An array as a pickle describes it, before anything of the description is believed."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def to_uint8(self) -> npt.NDArray[np.uint8]:
        """Returns the array, if it is one of bytes and has as many as its shape says."""
        if not isinstance(self._state, tuple) or len(self._state) != 5:
            raise DataError("array without a complete description")
        _, shape, dtype, fortran_order, raw = self._state
        if isinstance(raw, str):  # a Python 2 string, which encoding="latin1" mapped byte by byte
            raw = raw.encode("latin1")
        if not isinstance(dtype, PickledDtype) or dtype.code not in ("u1", "|u1") or type(raw) is not bytes:
            raise DataError("array that is not of dtype uint8")
        sizes = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sizes or math.prod(shape) != len(raw):
            raise DataError(f"array of the shape {shape!r} with {len(raw)} bytes")
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran_order else "C")


class PickledDtype:
    """A dtype as a pickle describes it. Bytes have no byte order, so the rest of its state is ignored."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None: ...


def load_pickle(data: bytes) -> dict[Any, Any]:
    """Returns the dictionary in a pickle, of plain Python objects, and `PickledArray` for each NumPy array.

    Strings of Python 2 become `str`, decoded as Latin-1.
    """
    try:
        _check_memo(data)
        content = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:
        # A damaged pickle raises almost anything, from UnpicklingError to IndexError and MemoryError.
        raise DataError(f"truncated or altered, not readable as a pickle: {error!r}") from error
    if not isinstance(content, dict):
        raise DataError(f"the pickle has {type(content).__name__}, not a dictionary")
    return content


def _check_memo(data: bytes) -> None:
    """Raises if an object is numbered far ahead: reserving room for it could take all memory."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > count:
            raise DataError(f"the pickle gives the number {argument} to its object {count}")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        allowed = {
            "numpy.core.multiarray._reconstruct": PickledArray,
            "numpy._core.multiarray._reconstruct": PickledArray,
            "numpy.ndarray": None,  # only ever an argument of _reconstruct
            "numpy.dtype": PickledDtype,
            # Python 3 writes bytes with it in protocol 2. Made anew: a pickle can set attributes of a function.
            "_codecs.encode": lambda text, _: text.encode("latin1"),
        }
        if f"{module}.{name}" not in allowed:
            plain = "NumPy arrays of uint8 and plain lists, strings and numbers"
            asked = f"the pickle asks for {module}.{name}; allowed are only {plain}"
            raise DataError(f"{asked}. Nothing of it was executed")
        return allowed[f"{module}.{name}"]

    def persistent_load(self, pid: Any, /) -> NoReturn:
        raise DataError(f"the pickle refers to an object outside of the file ({pid!r})")
