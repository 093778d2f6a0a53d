"""Misclassified images: ranked, filtered, sampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.metrics import label_losses
from cifar_explain.validation import (
    ClassKey,
    as_class_index,
    as_class_names,
    as_predictions,
    check_choice,
    check_count,
)

#: Measures by which errors can be ranked.
RANKINGS: tuple[str, ...] = ("confidence", "loss", "margin")


@dataclass(frozen=True, eq=False)
class Errors:
    """Misclassified images, one entry of each array per image; the methods return new tables.

    Indices are those of the images in the split. Confidences are probabilities of the predicted class, margins that
    minus the probability of the true one, both in [0, 1]; losses are cross-entropies of the true class, in nats.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    confidences: NDArray[np.float64]
    losses: NDArray[np.float64]
    margins: NDArray[np.float64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, positions: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Errors":
        """Returns the errors at these positions of the table, in this order."""
        arrays = {name: value[positions] for name, value in vars(self).items() if name != "class_names"}
        return replace(self, **arrays)

    def ranked(self, by: str = "confidence") -> "Errors":
        """Returns the errors, worst first, by one of `RANKINGS`; equals in the order of their indices."""
        check_choice("by", by, RANKINGS)
        values = {"confidence": self.confidences, "loss": self.losses, "margin": self.margins}[by]
        return self.take(np.lexsort((self.indices, -values)))

    def filtered(self, *, true: ClassKey | None = None, predicted: ClassKey | None = None) -> "Errors":
        """Returns the errors of one true class, of one predicted class, or of both, in the same order."""
        names, keep = self.class_names, np.ones(len(self), bool)
        for argument, key, found in (("true", true, self.labels), ("predicted", predicted, self.predictions)):
            if key is not None:
                keep &= found == as_class_index(key, classes=len(names), class_names=names, argument=argument)
        return self.take(keep)

    def sample(self, count: int, *, seed: int = 0) -> "Errors":
        """Returns at most `count` errors, drawn without replacement by `seed`, in the same order."""
        check_count("count", count, minimum=0)
        generator = np.random.default_rng(check_count("seed", seed, minimum=0))
        return self.take(np.sort(generator.permutation(len(self))[:count]))


def find_errors(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    class_names: Sequence[str] | None = None,
) -> Errors:
    """Returns all images whose most probable class is not their label, by index.

    >>> errors = find_errors([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2]], [0, 1, 1], class_names=["cat", "dog"])
    >>> errors.indices, errors.ranked("confidence").indices
    (array([1, 2]), array([2, 1]))
    >>> len(errors.filtered(true="dog", predicted="cat")), len(errors.filtered(true="cat"))
    (2, 0)
    """
    rows, true = as_predictions(probabilities, labels)
    predictions, confidences = rows.argmax(axis=1), rows.max(axis=1)
    everything = Errors(
        indices=np.arange(len(rows)),
        labels=true,
        predictions=predictions,
        confidences=confidences,
        losses=label_losses(rows, true),
        margins=confidences - rows[np.arange(len(rows)), true],
        class_names=as_class_names(class_names, classes=rows.shape[1]),
    )
    return everything.take(predictions != true)
