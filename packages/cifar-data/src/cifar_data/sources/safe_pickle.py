"""Reading the pickled dictionaries of `cifar-10-batches-py` without executing anything in them.

A pickle may call any function it names. Here it can name only the four that describe a numpy array, and gets
inert stand-ins for them: not even numpy's own constructors run on a file's values.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from cifar_data.dataset.errors import DataError


class PickledArray:
    """An array as a pickle describes it, before anything of the description is believed."""

    def __init__(self) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def to_uint8(self) -> npt.NDArray[np.uint8]:
        """Return the array.

        Raises:
            DataError: If it is not of bytes, or has more or fewer of them than its shape says.
        """
        if not isinstance(self._state, tuple) or len(self._state) != 5:
            raise DataError("array without a complete description")
        _, shape, dtype, fortran_order, raw = self._state
        if not isinstance(dtype, PickledDtype) or dtype.code not in ("u1", "|u1"):
            raise DataError("array that is not of dtype uint8")
        if isinstance(raw, str):  # a Python 2 string, which encoding="latin1" mapped byte by byte
            raw = raw.encode("latin1")
        if not isinstance(raw, bytes):
            raise DataError(f"array whose content is {type(raw).__name__}, not bytes")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise DataError(f"array of the shape {shape!r}")
        if math.prod(shape) != len(raw):
            raise DataError(f"array of the shape {shape} with {len(raw)} bytes")
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran_order else "C")


class PickledDtype:
    """A dtype as a pickle describes it. Bytes have no byte order, so only the code counts."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        pass


def load_inert(data: bytes) -> Any:
    """Return what a pickle holds: plain Python objects, and `PickledArray` for each numpy array.

    Strings of Python 2 become `str`, decoded as Latin-1.

    Raises:
        DataError: If the pickle names anything but numpy's arrays (nothing is executed), or is damaged.

    >>> load_inert(pickle.dumps({"labels": [6, 9]}))
    {'labels': [6, 9]}
    >>> load_inert(pickle.dumps(print))
    Traceback (most recent call last):
    ...
    cifar_data.dataset.errors.DataError: refused: the pickle asks for builtins.print; allowed are only numpy arrays of
    uint8 and plain lists, strings and numbers. Nothing of it was executed
    """
    try:
        _check_memo(data)
        return _InertUnpickler(data).load()
    except DataError:
        raise
    except Exception as error:
        # A damaged pickle raises almost anything, from UnpicklingError to IndexError and MemoryError.
        raise DataError(f"truncated or altered, not readable as a pickle: {error!r}") from error


def _check_memo(data: bytes) -> None:
    """Raise if a pickle numbers an object far ahead: reserving room for it could take all memory."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > count:
            raise DataError(f"refused: the pickle gives the number {argument} to its object {count}")


class _InertUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

        # Made anew for each file: a pickle can set attributes of what it is given.
        def reconstruct(*_: Any) -> PickledArray:
            return PickledArray()

        def dtype(code: Any, *_: Any) -> PickledDtype:
            return PickledDtype(code)

        def encode(text: Any, encoding: Any) -> bytes:  # how Python 3 writes bytes with protocol 2
            if encoding != "latin1" or not isinstance(text, str):
                raise DataError(f"bytes written with the encoding {encoding!r}")
            return text.encode("latin1")

        self._allowed: dict[tuple[str, str], Callable[..., Any] | str] = {
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
            ("numpy", "ndarray"): "numpy.ndarray",  # only ever an argument of _reconstruct
            ("numpy", "dtype"): dtype,
            ("_codecs", "encode"): encode,
        }

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in self._allowed:
            raise DataError(
                f"refused: the pickle asks for {module}.{name}; allowed are only numpy arrays of uint8 and "
                "plain lists, strings and numbers. Nothing of it was executed"
            )
        return self._allowed[module, name]

    def persistent_load(self, pid: Any, /) -> NoReturn:
        raise DataError(f"refused: the pickle refers to an object outside the file ({pid!r})")
