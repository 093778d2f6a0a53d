"""The JSON of a gallery, checked field by field."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from cifar_explain.gallery_human import parse_human
from cifar_explain.human_labels import HumanView
from cifar_explain.validation import as_class_names, as_labels, as_probabilities

FORMAT = "cifar-explain-gallery"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Document:
    """The fields of `gallery.json`, of the right types and shapes, without the images.

    Args:
        weights_sha256: SHA-256 of the weights file, 64 hexadecimal digits.
        sprite_sha256: SHA-256 of `gallery.png`.
        split: Name of the split.
        class_names: Names of the K classes.
        image_size: Height and width of one image.
        columns: Images in one row of the sprite.
        labels: `(N,)`.
        probabilities: `(N, K)`, float32.
        errors: Indices of the misclassified images.
        tiles: Indices of the images in the sprite, row by row.
        human: What people say about the errors; the one field that may be absent.
    """

    weights_sha256: str
    sprite_sha256: str
    split: str
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    columns: int
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    errors: list[int]
    tiles: list[int]
    human: HumanView | None


def as_sha256(value: Any, *, argument: str = "weights_sha256") -> str:
    """Return a SHA-256 in lower case if it is 64 hexadecimal digits.

    Raises:
        ValueError: If it is not.

    >>> as_sha256("AB" * 32) == "ab" * 32
    True
    """
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError(f"{argument} must be 64 hexadecimal digits, got {value!r:.100}")
    return value.lower()


def parse_document(content: bytes, *, source: str) -> Document:
    """Return the fields of a gallery's JSON.

    Args:
        content: The file.
        source: What to call it in errors.

    Raises:
        ValueError: If it is no JSON, of another format or version, or a field is missing or not as it must be.

    >>> parse_document(b'{"format": "cifar-explain-gallery", "version": 7}', source="gallery.json")
    Traceback (most recent call last):
        ...
    ValueError: gallery.json: version must be 1, got 7; write the gallery again
    """
    try:
        fields = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"{source} is no gallery: its format is not {FORMAT!r}")
    if fields.get("version") != VERSION:
        got = fields.get("version")
        raise ValueError(f"{source}: version must be {VERSION}, got {got!r:.100}; write the gallery again")
    try:
        return _document(fields)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _document(fields: dict[str, Any]) -> Document:
    missing = [name for name in Document.__dataclass_fields__ if name not in fields and name != "human"]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    height, width, columns = _numbers(
        [*_list(fields, "image_size"), fields["columns"]], "image_size and columns"
    )
    if not (1 <= height <= 1024 and 1 <= width <= 1024 and 1 <= columns <= 10_000):
        raise ValueError(
            f"image_size and columns are {height}, {width} and {columns}; too small or too large"
        )
    rows = _list(fields, "probabilities")
    classes = len(_list(fields, "class_names"))
    if not all(
        isinstance(row, list) and len(row) == classes and all(type(value) in (float, int) for value in row)
        for row in rows
    ):
        raise ValueError(f"probabilities must be rows of {classes} numbers")
    probabilities = as_probabilities(rows).astype(np.float32)
    labels = _numbers(_list(fields, "labels"), "labels")
    if not isinstance(fields["split"], str) or not fields["split"]:
        raise ValueError(f"split must be a name, got {fields['split']!r:.100}")
    errors = _numbers(_list(fields, "errors"), "errors")
    return Document(
        weights_sha256=as_sha256(fields["weights_sha256"]),
        sprite_sha256=as_sha256(fields["sprite_sha256"], argument="sprite_sha256"),
        split=fields["split"],
        class_names=as_class_names(fields["class_names"], classes=classes),
        image_size=(height, width),
        columns=columns,
        labels=as_labels(np.array(labels, np.int64), count=len(rows), classes=classes),
        probabilities=probabilities,
        errors=errors,
        tiles=_numbers(_list(fields, "tiles"), "tiles"),
        human=parse_human(fields["human"], errors=len(errors), classes=classes)
        if "human" in fields
        else None,
    )


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields[name]
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {type(value).__name__}")  # noqa: TRY004
    if name == "image_size" and len(value) != 2:
        raise ValueError(f"image_size must be height and width, got {len(value)} values")
    return value


def _numbers(values: list[Any], name: str) -> list[int]:
    if not all(type(value) is int and 0 <= value < 2**31 for value in values):
        raise ValueError(f"{name} must be whole numbers of at least 0")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")
