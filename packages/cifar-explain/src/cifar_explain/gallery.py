"""A model's predictions on a split, together with the images that it gets wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.errors import Errors, find_errors
from cifar_explain.gallery_document import as_sha256
from cifar_explain.human_labels import HumanView, check_human
from cifar_explain.validation import as_class_names, as_labels, as_probabilities


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
        images: The stored images, uint8 `(T, H, W, 3)`; None if the gallery was read without them.
        human: What people say about the errors, entry for entry of `errors`; None if nobody was asked.
    """

    weights_sha256: str
    split: str
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    tiles: NDArray[np.int64]
    images: NDArray[np.uint8] | None
    human: HumanView | None = None

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
            ValueError: If the image is not stored, or the gallery was read without its images.
        """
        if self.images is None:
            raise ValueError("images were not read with this gallery; read it with its sprite")
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
    """Return the gallery of a model's predictions.

    Args:
        probabilities: What the model gave to each image, `(N, K)`; kept as float32.
        labels: True class indices `(N,)`.
        images: All images of the split, uint8 RGB `(N, H, W, 3)`, an array or a memory map; only those that
            the gallery stores are read.
        class_names: The K names.
        weights_sha256: SHA-256 of the weights file, 64 hexadecimal digits.
        split: Name of the split.
        human: What `judge_errors` says about `find_errors` of the same labels and probabilities, as float32.

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
    if human is not None:
        check_human(human, find_errors(rows, true, class_names=names))
    tiles = stored_images(rows, true)
    stored = np.asarray(images[tiles])
    return Gallery(as_sha256(weights_sha256), split, names, true, rows, tiles, stored, human)


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
