"""Galleries as two files: `gallery.json`, and the images side by side in `gallery.png`."""

import hashlib
import io
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain.gallery import Gallery, stored_images
from cifar_explain.gallery_document import FORMAT, VERSION, Document, as_sha256, parse_document
from cifar_explain.gallery_human import human_fields
from cifar_explain.human_labels import check_human

JSON_NAME = "gallery.json"
PNG_NAME = "gallery.png"


def write_gallery(gallery: Gallery, folder: str | Path) -> None:
    """Write `gallery.json` and `gallery.png` into a folder, which is made if needed.

    Each file appears whole or not at all, and the JSON names the PNG's hash, so that a write that was cut
    short is noticed when reading.

    Raises:
        ValueError: If the gallery was read without its images.
        OSError: If the folder cannot be written.
    """
    if gallery.images is None:
        raise ValueError("gallery has no images to write, since it was read without its sprite")
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
    if gallery.human is not None:
        document["human"] = human_fields(gallery.human)
    _write(target / PNG_NAME, buffer.getvalue())
    _write(target / JSON_NAME, json.dumps(document, separators=(",", ":"), allow_nan=False).encode())


def read_gallery(folder: str | Path, *, weights_sha256: str | None = None, sprite: bool = True) -> Gallery:
    """Return the gallery in a folder, after checking that all of it fits together.

    Args:
        folder: Where `write_gallery` wrote.
        weights_sha256: SHA-256 of the weights file that the gallery must be of; None to take any.
        sprite: Whether to read the images too; without them `gallery.json` alone is enough.

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
    gallery = Gallery(
        weights_sha256=document.weights_sha256,
        split=document.split,
        class_names=document.class_names,
        labels=document.labels,
        probabilities=document.probabilities,
        tiles=tiles,
        images=_read_sprite(Path(folder) / PNG_NAME, document) if sprite else None,
        human=document.human,
    )
    if gallery.human is not None:
        try:
            check_human(gallery.human, gallery.errors)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return gallery


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
