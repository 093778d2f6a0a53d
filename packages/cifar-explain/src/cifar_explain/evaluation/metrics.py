"""Loss, confusion, precision, recall and top-k accuracy of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_explain.validation import as_class_names, as_labels, as_predictions, check_count


@dataclass(frozen=True)
class ClassReport:
    """Precision and recall of one class.

    Precision is the share of the `predicted` images, those predicted as this class, that are of it; recall the share of
    the `support`, the images of this class, that are predicted as it; F1 is `2 TP / (2 TP + FP + FN)`. Each is NaN if
    there is no image to share.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class ConfusedPair:
    """One kind of error: `count` images of class `true` predicted as `predicted`, and their `share` of the class."""

    true: str
    predicted: str
    count: int
    share: float


def label_losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns each image's cross-entropy, `-ln p(label)`, in nats; `(N,)`.

    A probability of 0 counts as the smallest normal number, so that losses stay finite: at most 708 nats.
    """
    rows, chosen = as_predictions(probabilities, labels)
    # Not `-log`: the loss of a certain and right prediction is 0, not -0.
    return 0 - np.log(np.maximum(rows[np.arange(len(rows)), chosen], np.finfo(np.float64).tiny))


def confusion_matrix(
    labels: NDArray[np.integer], predictions: NDArray[np.integer], *, classes: int
) -> NDArray[np.int64]:
    """Returns how many images of each true class (row) are predicted as each class (column), `(K, K)`.

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
    """Returns precision, recall and F1 of each class, from a confusion matrix `(K, K)`.

    >>> [(report.precision, report.recall) for report in class_reports(np.array([[1, 1], [0, 2]]))]
    [(1.0, 0.5), (0.6666666666666666, 1.0)]
    """
    matrix = as_confusion(confusion)
    names = as_class_names(class_names, classes=len(matrix))
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares = hits / predicted, hits / support, 2 * hits / (support + predicted)
    columns = [column.tolist() for column in (*shares, support, predicted)]
    return tuple(ClassReport(*row) for row in zip(names, *columns, strict=True))


def most_confused(
    confusion: NDArray[np.integer], *, count: int = 10, class_names: Sequence[str] | None = None
) -> tuple[ConfusedPair, ...]:
    """Returns at most `count` kinds of error that occur, the most frequent first.

    >>> most_confused(np.array([[8, 2], [1, 9]]), count=1, class_names=["cat", "dog"])
    (ConfusedPair(true='cat', predicted='dog', count=2, share=0.2),)
    """
    matrix = as_confusion(confusion)
    check_count("count", count)
    names = as_class_names(class_names, classes=len(matrix))
    errors = matrix - np.diag(matrix.diagonal())
    # Stable, so that equal counts come in the order of the classes.
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    return tuple(
        ConfusedPair(names[true], names[predicted], int(number), float(number / matrix[true].sum()))
        for true, predicted in (divmod(int(position), len(matrix)) for position in order)
        if (number := errors[true, predicted])
    )


def top_k_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, k: int = 5) -> float:
    """Returns the share of images whose label is among their `k` most probable classes, in [0, 1].

    A class that ties with the label comes first if its index is lower, as in `argmax`: top-1 is the accuracy.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    rows, true = as_predictions(probabilities, labels)
    classes = rows.shape[1]
    if check_count("k", k) > classes:
        raise ValueError(f"k must be from 1 to {classes}, the number of classes, got {k}")
    own = rows[np.arange(len(rows)), true][:, None]
    earlier = np.arange(classes) < true[:, None]
    rank = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def as_confusion(confusion: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns a confusion matrix `(K, K)` as int64, if it is square with whole numbers of at least 0."""
    matrix = np.asarray(confusion)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
    if not square or matrix.dtype.kind not in "iu" or matrix.min() < 0:
        got = f"{matrix.dtype} {matrix.shape}, the least {matrix.min(initial=0)}"
        raise ValueError(f"confusion must be whole numbers (K, K) of at least 0, got {got}")
    return matrix.astype(np.int64)
