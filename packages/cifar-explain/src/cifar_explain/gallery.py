"""A model's predictions and the images it gets wrong, as two files: `gallery.json` and `gallery.png`."""

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain._checks import as_class_names, as_labels, as_probabilities
from cifar_explain.errors import Errors, find_errors
from cifar_explain.gallery_document import FORMAT, VERSION, Document, as_sha256, parse_document

JSON_NAME = "gallery.json"
PNG_NAME = "gallery.png"


@dataclass(frozen=True, eq=False)
class Gallery:
    """What a model makes of each image of a split, with the images that are worth a look.

    Args:
        weights_sha256: SHA-256 of the weights file that the predictions are of, 64 hexadecimal digits.
        split: Name of the split, such as "test".
        class_names: Names of the K classes.
        labels: True class of each image of the split, `(N,)`.
        probabilities: `(N, K)`, float32, each row a distribution.
        tiles: Indices of the images that are stored: all errors, then for each class one right example
            (that of highest confidence; none for a class without any), `(T,)`.
        images: The stored images, uint8 `(T, H, W, 3)`.
    """

    weights_sha256: str
    split: str
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    tiles: NDArray[np.int64]
    images: NDArray[np.uint8]

    @property
    def errors(self) -> Errors:
        """All misclassified images of the split, by index."""
        return find_errors(self.probabilities, self.labels, class_names=self.class_names)

    @property
    def examples(self) -> dict[str, int]:
        """Index of one rightly classified image by class name, for the classes that have one."""
        return {
            self.class_names[int(self.labels[index])]: int(index) for index in self.tiles[len(self.errors) :]
        }

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the stored image with this index in the split, uint8 `(H, W, 3)`.

        Raises:
            ValueError: If the image is not stored.
        """
        places = np.flatnonzero(self.tiles == index)
        if not places.size:
            raise ValueError(f"index must be one of the {len(self.tiles)} stored images, got {index!r}")
        return self.images[places[0]]


def make_gallery(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    images: Any,
    *,
    class_names: Sequence[str],
    weights_sha256: str,
    split: str = "test",
) -> Gallery:
    """Return the gallery of a model's predictions.

    Args:
        probabilities: What the model gave to each image, `(N, K)`; kept as float32.
        labels: True class indices `(N,)`.
        images: All images of the split, uint8 RGB `(N, H, W, 3)`, an array or a memory map; only those that
            the gallery stores are read.
        class_names: The K names.
        weights_sha256: SHA-256 of the weights file, 64 hexadecimal digits.
        split: Name of the split.

    Raises:
        ValueError: If shapes, types or values do not fit together.

    >>> gallery = make_gallery(
    ...     [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], [0, 0, 1], np.zeros((3, 32, 32, 3), np.uint8),
    ...     class_names=["cat", "dog"], weights_sha256="0" * 64,
    ... )
    >>> gallery.tiles, gallery.examples, len(gallery.errors)
    (array([2, 0]), {'cat': 0}, 1)
    """
    rows = as_probabilities(probabilities).astype(np.float32)
    count, classes = rows.shape
    true = as_labels(labels, count=count, classes=classes)
    names = as_class_names(class_names, classes=classes)
    shape, kind = tuple(np.shape(images)), getattr(images, "dtype", None)
    if kind != np.uint8 or len(shape) != 4 or shape[0] != count or shape[3] != 3 or 0 in shape:
        raise ValueError(f"images must be uint8 ({count}, H, W, 3), got {kind} {shape}")
    if not isinstance(split, str) or not split:
        raise ValueError(f"split must be a name such as 'test', got {split!r}")
    tiles = stored_images(rows, true)
    return Gallery(as_sha256(weights_sha256), split, names, true, rows, tiles, np.asarray(images[tiles]))


def stored_images(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return which images a gallery stores: all errors by index, then each class's surest right one.

    Raises:
        ValueError: If the shapes or values do not fit together.

    >>> stored_images([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], [0, 0, 1, 1])
    array([2, 0, 3])
    """
    rows = as_probabilities(probabilities)
    true = as_labels(labels, count=len(rows), classes=rows.shape[1])
    right = rows.argmax(axis=1) == true
    confidences = np.where(right, rows.max(axis=1), -1)
    examples = [
        members[confidences[members].argmax()]
        for members in (np.flatnonzero(right & (true == label)) for label in range(rows.shape[1]))
        if members.size
    ]
    return np.concatenate([np.flatnonzero(~right), np.array(examples, np.int64)])


def write_gallery(gallery: Gallery, folder: str | Path) -> None:
    """Write `gallery.json` and `gallery.png` into a folder, which is made if needed.

    Each file appears whole or not at all, and the JSON names the PNG's hash, so that a write that was cut
    short is noticed when reading.

    Raises:
        OSError: If the folder cannot be written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    count, height, width, _ = gallery.images.shape
    columns = max(1, math.isqrt(count))
    rows = max(1, -(-count // columns))
    sprite = np.zeros((rows * columns, height, width, 3), np.uint8)
    sprite[:count] = gallery.images
    sprite = sprite.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    buffer = io.BytesIO()
    Image.fromarray(sprite.reshape(rows * height, columns * width, 3)).save(buffer, "PNG")
    document = {
        "format": FORMAT,
        "version": VERSION,
        "weights_sha256": gallery.weights_sha256,
        "sprite_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "split": gallery.split,
        "class_names": list(gallery.class_names),
        "image_size": [height, width],
        "columns": columns,
        "labels": gallery.labels.tolist(),
        # Nine digits bring every float32 back to the bit.
        "probabilities": [[float(f"{value:.9g}") for value in row] for row in gallery.probabilities],
        "errors": gallery.errors.indices.tolist(),
        "tiles": gallery.tiles.tolist(),
    }
    _write(target / PNG_NAME, buffer.getvalue())
    _write(target / JSON_NAME, json.dumps(document, separators=(",", ":"), allow_nan=False).encode())


def read_gallery(folder: str | Path, *, weights_sha256: str | None = None) -> Gallery:
    """Return the gallery in a folder, after checking that all of it fits together.

    Args:
        folder: Where `write_gallery` wrote.
        weights_sha256: SHA-256 of the weights file that the gallery must be of; None to take any.

    Raises:
        ValueError: If the gallery is of other weights or another version, damaged, or its parts do not fit
            together; the message names the file and what is wrong.
        OSError: If a file is missing or cannot be read.
    """
    path = Path(folder) / JSON_NAME
    document = parse_document(path.read_bytes(), source=str(path))
    if weights_sha256 is not None and document.weights_sha256 != as_sha256(weights_sha256):
        raise ValueError(
            f"{path} is the gallery of another model: of weights {document.weights_sha256[:12]}..., "
            f"not {weights_sha256[:12]}..."
        )
    tiles = stored_images(document.probabilities, document.labels)
    wrong = np.flatnonzero(document.probabilities.argmax(axis=1) != document.labels)
    if document.tiles != tiles.tolist() or document.errors != wrong.tolist():
        raise ValueError(f"{path}: errors and tiles do not follow from labels and probabilities")
    return Gallery(
        weights_sha256=document.weights_sha256,
        split=document.split,
        class_names=document.class_names,
        labels=document.labels,
        probabilities=document.probabilities,
        tiles=tiles,
        images=_read_sprite(Path(folder) / PNG_NAME, document),
    )


def _read_sprite(path: Path, document: Document) -> NDArray[np.uint8]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != document.sprite_sha256:
        raise ValueError(f"{path} is not the file that {JSON_NAME} was written with: its SHA-256 differs")
    count, (height, width), columns = len(document.tiles), document.image_size, document.columns
    rows = max(1, -(-count // columns))
    try:
        sprite = Image.open(io.BytesIO(content), formats=["PNG"])
        # Only the header is read yet: a file made to fill the memory is refused before it is decoded.
        fits = sprite.mode == "RGB" and sprite.size == (columns * width, rows * height)
        pixels = np.asarray(sprite) if fits else None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be decoded: {error}") from error
    if pixels is None:
        raise ValueError(
            f"{path} must be RGB {columns * width}x{rows * height}, got {sprite.mode} "
            f"{sprite.width}x{sprite.height}"
        )
    tiles = pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    return tiles.reshape(rows * columns, height, width, 3)[:count]


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are private to the user; these are meant to be read by others.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
