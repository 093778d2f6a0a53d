"""A memory of arrays that forgets the ones longest unused when it is full."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayMemory:
    """Arrays by key, up to a number of bytes; the least recently used go first. Safe for several threads.

    Arrays are kept as read-only copies, since every caller gets the same ones.

    Args:
        max_bytes: Bytes of all arrays together, at least 0. An array larger than that is not kept.

    Raises:
        ValueError: If `max_bytes` is negative.

    >>> memory = ArrayMemory(16)
    >>> memory.put("a", np.zeros(2))
    array([0., 0.])
    >>> memory.get("a"), memory.get("b")
    (array([0., 0.]), None)
    >>> memory.put("b", np.ones(1))
    array([1.])
    >>> memory.get("a") is None, memory.size_bytes
    (True, 8)
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, got {max_bytes}")
        self._max_bytes = max_bytes
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays kept now."""
        return self._bytes

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the array of a key, or None if it was never kept or is forgotten."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: NDArray[Any]) -> NDArray[Any]:
        """Keep an array, in place of what the key had before, and return the read-only copy."""
        kept = np.array(array)
        kept.flags.writeable = False
        with self._lock:
            before = self._arrays.pop(key, None)
            self._bytes += kept.nbytes - (0 if before is None else before.nbytes)
            self._arrays[key] = kept
            while self._bytes > self._max_bytes:
                _, forgotten = self._arrays.popitem(last=False)
                self._bytes -= forgotten.nbytes
        return kept
