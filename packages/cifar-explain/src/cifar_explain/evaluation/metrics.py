"""Counts and rates of right and wrong predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_explain.validation import as_class_names, as_labels, as_probabilities, check_count


@dataclass(frozen=True)
class ClassReport:
    """How well one class is recognised.

    Args:
        name: The class.
        precision: Share of the images predicted as this class that are of it; NaN if none is.
        recall: Share of the images of this class that are predicted as it; NaN if there are none.
        f1: Harmonic mean of both, `2 TP / (2 TP + FP + FN)`; NaN if the class occurs nowhere.
        support: Images of this class.
        predicted: Images predicted as this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class ConfusedPair:
    """One kind of error.

    Args:
        true: Name of the true class.
        predicted: Name of the predicted class.
        count: Images of the one predicted as the other.
        share: `count` by the images of the true class, in [0, 1].
    """

    true: str
    predicted: str
    count: int
    share: float


def confusion_matrix(
    labels: NDArray[np.integer], predictions: NDArray[np.integer], *, classes: int
) -> NDArray[np.int64]:
    """Return how many images of each true class (row) are predicted as each class (column), `(K, K)`.

    Raises:
        ValueError: If the lengths differ or a class is out of range.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2)
    array([[1, 1],
           [0, 1]])
    """
    check_count("classes", classes)
    count = len(labels)
    rows = as_labels(labels, count=count, classes=classes)
    columns = as_labels(predictions, count=count, classes=classes, argument="predictions")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def class_reports(
    confusion: NDArray[np.integer], *, class_names: Sequence[str] | None = None
) -> tuple[ClassReport, ...]:
    """Return precision, recall and F1 of each class, from a confusion matrix `(K, K)`.

    Raises:
        ValueError: If the matrix is not square with whole numbers of at least 0, or the names do not fit.

    >>> [(report.precision, report.recall) for report in class_reports(np.array([[1, 1], [0, 2]]))]
    [(1.0, 0.5), (0.6666666666666666, 1.0)]
    """
    matrix = as_confusion(confusion)
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassReport(
            name,
            precision=_ratio(hits[k], predicted[k]),
            recall=_ratio(hits[k], support[k]),
            f1=_ratio(2 * hits[k], support[k] + predicted[k]),
            support=int(support[k]),
            predicted=int(predicted[k]),
        )
        for k, name in enumerate(as_class_names(class_names, classes=len(matrix)))
    )


def most_confused(
    confusion: NDArray[np.integer], *, count: int = 10, class_names: Sequence[str] | None = None
) -> tuple[ConfusedPair, ...]:
    """Return at most `count` kinds of error that occur, the most frequent first.

    Raises:
        ValueError: If the matrix is not square with whole numbers of at least 0, the names do not fit, or
            `count` is less than 1.

    >>> most_confused(np.array([[8, 2], [1, 9]]), count=1, class_names=["cat", "dog"])
    (ConfusedPair(true='cat', predicted='dog', count=2, share=0.2),)
    """
    matrix = as_confusion(confusion)
    check_count("count", count)
    names = as_class_names(class_names, classes=len(matrix))
    errors = matrix - np.diag(matrix.diagonal())
    # Stable, so that equal counts come in the order of the classes.
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    pairs = [divmod(int(position), len(matrix)) for position in order]
    return tuple(
        ConfusedPair(names[true], names[predicted], int(errors[true, predicted]), share)
        for true, predicted in pairs
        if errors[true, predicted]
        for share in [float(errors[true, predicted] / matrix[true].sum())]
    )


def top_k_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, k: int = 5) -> float:
    """Return the share of images whose label is among their `k` most probable classes, in [0, 1].

    A class that ties with the label comes first if its index is lower, as in `argmax`: top-1 is the accuracy.

    Raises:
        ValueError: If the shapes or values do not fit together, or `k` is not from 1 to K.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    rows = as_probabilities(probabilities)
    count, classes = rows.shape
    if check_count("k", k) > classes:
        raise ValueError(f"k must be from 1 to {classes}, the number of classes, got {k}")
    true = as_labels(labels, count=count, classes=classes)
    own = rows[np.arange(count), true][:, None]
    earlier = np.arange(classes) < true[:, None]
    rank = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def as_confusion(confusion: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return a confusion matrix `(K, K)` as int64.

    Raises:
        ValueError: If it is not square with whole numbers of at least 0.

    >>> as_confusion([[1, 0], [0, 2]])
    array([[1, 0],
           [0, 2]])
    """
    matrix = np.asarray(confusion)
    if (
        matrix.ndim != 2
        or matrix.shape[0] != matrix.shape[1]
        or not len(matrix)
        or matrix.dtype.kind not in "iu"
    ):
        raise ValueError(f"confusion must be whole numbers (K, K), got {matrix.dtype} {matrix.shape}")
    if (matrix < 0).any():
        raise ValueError(f"confusion must hold counts of at least 0, got {matrix.min()}")
    return matrix.astype(np.int64)


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else float("nan")
