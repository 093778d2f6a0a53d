"""A model's predictions on a split with the images that it gets wrong, as `gallery.npz` and `gallery.png`."""

import hashlib
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain.evaluation.errors import Errors, find_errors
from cifar_explain.human_labels import HumanView, Recheck
from cifar_explain.validation import as_class_names, as_predictions, as_probabilities, check_photos

#: Version of the format, which docs/FORMATS.md specifies.
VERSION = 2

_DATA, _SPRITE = "gallery.npz", "gallery.png"
_NO_RECHECK = (-1,) * 6


@dataclass(frozen=True, eq=False)
class Gallery:
    """The predictions for each image of a split, such as "test", and the images worth a look.

    The hash is that of the weights file, 64 hexadecimal digits. Labels are the true classes `(N,)`; probabilities
    `(N, K)` are kept as float32. Images are the T of `tiles`, uint8 `(T, H, W, 3)`, or None if they are not there.
    People's view is of the errors, in their order.
    """

    weights_sha256: str
    split: str
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    images: NDArray[np.uint8] | None
    human: HumanView | None = None

    def __post_init__(self) -> None:
        rows, labels = as_predictions(self.probabilities, self.labels)
        if not isinstance(self.split, str) or not self.split:
            raise ValueError(f"split must be a name such as 'test', got {self.split!r}")
        for name, value in (
            ("weights_sha256", _as_sha256(self.weights_sha256)),
            ("class_names", as_class_names(self.class_names, classes=rows.shape[1])),
            ("labels", labels),
            ("probabilities", rows.astype(np.float32)),
        ):
            object.__setattr__(self, name, value)
        if self.images is not None:
            check_photos(self.images, len(self.tiles))
        if self.human is not None:
            self.human.check(self.errors)

    @cached_property
    def errors(self) -> Errors:
        """All misclassified images of the split, by index."""
        return find_errors(self.probabilities, self.labels, class_names=self.class_names)

    @cached_property
    def tiles(self) -> NDArray[np.int64]:
        """Indices of the images that a gallery stores, as from `stored_images`, `(T,)`."""
        return stored_images(self.probabilities, self.labels)

    @property
    def examples(self) -> dict[str, int]:
        """Index of the most confident right prediction of each class that has one, by class name."""
        right = self.tiles[len(self.errors) :].tolist()
        return {self.class_names[self.labels[index]]: index for index in right}

    def image(self, index: int) -> NDArray[np.uint8]:
        """Returns the stored image with this index in the split, uint8 `(H, W, 3)`."""
        if self.images is None:
            raise ValueError(f"this gallery has no images, since {_SPRITE} was not there")
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
    human: HumanView | None = None,
) -> Gallery:
    """Returns the gallery of a model's predictions; arguments as in `Gallery`, except for the images.

    Those are all images of the split, uint8 RGB `(N, H, W, 3)`, an array or a memory map, of which only the
    stored ones are read. People's view has to be of the errors of the probabilities as float32.
    """
    rows = as_probabilities(probabilities).astype(np.float32)
    check_photos(images, len(rows))
    stored = np.asarray(images[stored_images(rows, labels)])
    return Gallery(weights_sha256, split, tuple(class_names), np.asarray(labels), rows, stored, human)


def stored_images(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns the images that a gallery stores: all errors by index, then each class's most confident right one."""
    rows, true = as_predictions(probabilities, labels)
    right = rows.argmax(axis=1) == true
    # Of each class the first of the right ones in the order of confidence.
    order = np.argsort(-rows.max(axis=1), kind="stable")
    order = order[right[order]]
    return np.concatenate([np.flatnonzero(~right), order[np.unique(true[order], return_index=True)[1]]])


def write_gallery(gallery: Gallery, folder: str | Path) -> None:
    """Writes `gallery.npz` and `gallery.png` into a folder, which is made if needed.

    Each file appears whole or not at all, and the first holds the hash of the second. A gallery without images
    is a `ValueError`.
    """
    if gallery.images is None:
        raise ValueError("gallery has no images to write, since it was read without them")
    count, height, width, _ = gallery.images.shape
    rows, columns = _grid(count)
    tiles = np.zeros((rows * columns, height, width, 3), np.uint8)
    tiles[:count] = gallery.images
    pixels = tiles.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    sprite, data = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels.reshape(rows * height, columns * width, 3)).save(sprite, "PNG")
    names = ("weights_sha256", "split", "class_names", "labels", "probabilities")
    fields: dict[str, Any] = {"version": VERSION} | {name: getattr(gallery, name) for name in names}
    fields["sprite_sha256"] = hashlib.sha256(sprite.getvalue()).hexdigest()
    if human := gallery.human:
        numbers = [astuple(recheck) if recheck else _NO_RECHECK for recheck in human.rechecks]
        fields["verdicts"] = np.array(human.verdicts, str)
        fields["rechecks"] = np.array(numbers, np.int64).reshape(-1, 6)
        fields |= {} if human.votes is None else {"votes": human.votes}
    np.savez_compressed(data, **fields)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in ((_SPRITE, sprite), (_DATA, data)):
        temporary = Path(folder) / f".{name}-{os.getpid()}"
        try:
            temporary.write_bytes(content.getvalue())
            temporary.replace(temporary.with_name(name))
        finally:
            temporary.unlink(missing_ok=True)


def read_gallery(folder: str | Path, *, weights_sha256: str | None = None) -> Gallery:
    """Returns the gallery in a folder; without its images if there is no `gallery.png`.

    Raises:
        ValueError: If the gallery is not of the weights file with this hash, if one is given, is of another
            version or damaged, or its parts do not fit together; the message names the file.
        OSError: If there is no gallery or it cannot be read.
    """
    path, sprite = Path(folder) / _DATA, Path(folder) / _SPRITE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            fields = dict(archive)
        if fields["version"].tolist() != VERSION:
            raise ValueError(f"version must be {VERSION}, got {fields['version']}; write the gallery again")  # noqa: TRY301
        gallery = Gallery(
            str(fields["weights_sha256"]),
            str(fields["split"]),
            tuple(map(str, np.atleast_1d(fields["class_names"]))),
            fields["labels"],
            fields["probabilities"],
            _read_sprite(sprite, fields) if sprite.is_file() else None,
            _read_human(fields) if "verdicts" in fields else None,
        )
    except (KeyError, ValueError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no gallery: {reason}") from error
    if weights_sha256 is not None and gallery.weights_sha256 != _as_sha256(weights_sha256):
        ours, theirs = gallery.weights_sha256[:12], weights_sha256[:12]
        raise ValueError(f"{path} is the gallery of another model: of weights {ours}..., not {theirs}...")
    return gallery


def _read_sprite(path: Path, fields: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != fields["sprite_sha256"]:
        raise ValueError(f"{_SPRITE} is not the file that was written with it: its SHA-256 differs")
    count = len(stored_images(fields["probabilities"], fields["labels"]))
    rows, columns = _grid(count)
    try:
        # Only the header is read here: an image of another size is rejected before it is decoded.
        sprite = Image.open(io.BytesIO(content), formats=["PNG"])
        (height, uneven), (width, odd) = divmod(sprite.height, rows), divmod(sprite.width, columns)
        if sprite.mode != "RGB" or uneven or odd:
            size = f"{sprite.mode} {sprite.width}x{sprite.height}"
            raise ValueError(f"{_SPRITE} must be RGB with {columns} x {rows} tiles, got {size}")
        pixels = np.asarray(sprite).reshape(rows, height, columns, width, 3)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{_SPRITE} cannot be decoded: {error}") from error
    return pixels.swapaxes(1, 2).reshape(rows * columns, height, width, 3)[:count]


def _read_human(fields: Mapping[str, NDArray[Any]]) -> HumanView:
    rows = fields["rechecks"].astype(np.int64).reshape(-1, 6).tolist()
    votes = fields["votes"].astype(np.float64) if "votes" in fields else None
    rechecks = tuple(None if tuple(row) == _NO_RECHECK else Recheck(*row) for row in rows)
    return HumanView(tuple(map(str, np.atleast_1d(fields["verdicts"]))), votes, rechecks)


def _grid(count: int) -> tuple[int, int]:
    columns = max(1, math.isqrt(count))
    return max(1, -(-count // columns)), columns


def _as_sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError(f"weights_sha256 must be 64 hexadecimal digits, got {value!r:.100}")
    return value.lower()
