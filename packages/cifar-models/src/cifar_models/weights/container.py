"""The safetensors container: its header read with suspicion and without the tensors, the file written whole.

The file is an 8-byte little-endian header length, a JSON header, and the tensors' bytes without gaps.
Source: https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
from dataclasses import dataclass
from typing import Any, BinaryIO

from cifar_models.validation import shortened

#: Largest header in bytes, checked before it is read. ResNet-18 needs 15 thousand; recipes add to that.
MAX_HEADER_BYTES = 2**20

#: Bytes per element of the types that may be stored.
ITEM_BYTES = {"F16": 2, "F32": 4, "I64": 8}


@dataclass(frozen=True)
class TensorEntry:
    """One tensor as the header announces it: its safetensors dtype (a key of `ITEM_BYTES`) and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Container:
    """A checked header: the tensors, the metadata, and the size in bytes of the whole file."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    size: int


def read_container(file: BinaryIO) -> Container:
    """Return the header of an open safetensors file, having checked it against the file's size.

    Raises:
        ValueError: If this is not a whole, well-formed safetensors file of the types in `ITEM_BYTES`.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9:
        raise ValueError(f"not a safetensors file: it has only {size} bytes")
    if start[8:] != b"{":
        raise ValueError(f"not a safetensors file{_resemblance(start)}")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header is {length} bytes long, more than the {MAX_HEADER_BYTES} allowed")
    if 8 + length > size:
        raise ValueError(f"truncated: the header needs {8 + length} bytes, the file has {size}")
    header = parse_json(b"{" + file.read(length - 1))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not a mapping of strings")
    end = 8 + length + _check_layout(header)
    if size != end:
        problem = "truncated" if size < end else "followed by bytes that belong to no tensor"
        raise ValueError(f"{problem}: the header announces {end} bytes, the file has {size}")
    tensors = {name: TensorEntry(entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    return Container(tensors, metadata, size)


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object, refusing what Python's parser lets through: NaN, infinity, repeated keys.

    Raises:
        ValueError: If the text is not such an object.

    >>> parse_json('{"a": [1, 2]}')
    {'a': [1, 2]}
    >>> parse_json('{"a": NaN}')
    Traceback (most recent call last):
        ...
    ValueError: its header is not valid JSON: NaN is not a number
    """
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is not valid JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"its header is not a JSON object but a {type(parsed).__name__}")  # noqa: TRY004
    return parsed


def _resemblance(start: bytes) -> str:
    if start.startswith(b"PK\x03\x04"):
        kind = "a zip archive, such as torch.save writes"
    elif start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        kind = "a Python pickle"
    else:
        return ""
    return f"; it looks like {kind}, which is never opened since it could run code"


def _check_layout(header: dict[str, Any]) -> int:
    """Check every tensor's entry and return how many bytes all tensors take."""
    spans = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {shortened(name)} is not described by dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            allowed = ", ".join(ITEM_BYTES)
            raise ValueError(f"tensor {shortened(name)} has the dtype {shortened(dtype)}; allowed: {allowed}")
        if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
            raise ValueError(f"tensor {shortened(name)} has an impossible shape or offsets")
        if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
            raise ValueError(f"tensor {shortened(name)} has offsets that do not fit its shape and dtype")
        spans.append((offsets[0], offsets[1]))
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = last
    return end


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key appears twice")
    return unique
