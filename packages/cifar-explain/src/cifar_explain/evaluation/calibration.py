"""Calibration of confidence: reliability curve, expected calibration error, temperature scaling."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_explain.validation import as_predictions, as_probabilities, check_count, check_number

#: Temperatures that `fit_temperature` can return.
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Accuracy by confidence; one entry per bin that holds images, by increasing confidence.

    Confidences are mean probabilities of the predicted class, in [0, 1], accuracies shares of right predictions.
    """

    confidences: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error in [0, 1]: `sum(counts / N * |accuracies - confidences|)`."""
        gaps = np.abs(self.accuracies - self.confidences)
        return float((self.counts * gaps).sum() / self.counts.sum())


def reliability_curve(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, bins: int = 15, adaptive: bool = True
) -> ReliabilityCurve:
    """Returns the accuracy of predictions by their confidence.

    Adaptive bins hold equally many images (equal confidences stay together), others are equally wide.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2, with 15 bins; K. Nguyen,
    B. O'Connor, "Posterior Calibration and Exploratory Analysis for NLP Models", 2015, for adaptive bins.

    >>> curve = reliability_curve([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.6, 0.4]], [0, 0, 0, 1], bins=2)
    >>> curve.confidences.round(2), curve.accuracies, curve.counts
    (array([0.6 , 0.85]), array([0.5, 1. ]), array([2, 2]))
    """
    rows, true = as_predictions(probabilities, labels)
    check_count("bins", bins)
    confidences, right = rows.max(axis=1), rows.argmax(axis=1) == true
    if adaptive:
        starts = -(-np.arange(1, bins) * len(rows) // bins)
        edges = np.unique(np.sort(confidences)[starts[starts < len(rows)]])
        numbers = np.searchsorted(edges, confidences, side="right")
    else:
        # Bins are open below and closed above, as Guo et al. define them.
        numbers = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(numbers, minlength=bins)
    used = counts > 0
    return ReliabilityCurve(
        confidences=np.bincount(numbers, confidences, minlength=bins)[used] / counts[used],
        accuracies=np.bincount(numbers, right, minlength=bins)[used] / counts[used],
        counts=counts[used],
    )


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, bins: int = 15, adaptive: bool = True
) -> float:
    """Returns the mean distance between confidence and accuracy over the bins of `reliability_curve`, in [0, 1]."""
    return reliability_curve(probabilities, labels, bins=bins, adaptive=adaptive).calibration_error


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Returns the temperature, within `TEMPERATURES`, at which the labels are most likely.

    Above 1 the model is overconfident, below 1 underconfident. Fit it on images that the model is neither trained
    nor tested on. Without a single error the likelihood has no maximum, and the temperature is 1.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2.

    >>> overconfident = [[0.99, 0.01]] * 4
    >>> temperature = fit_temperature(overconfident, [0, 0, 0, 1])  # 3 of 4 are right
    >>> apply_temperature(overconfident[:1], temperature).round(3)
    array([[0.75, 0.25]])
    """
    rows, true = as_predictions(probabilities, labels)
    if (rows.argmax(axis=1) == true).all():
        return 1.0
    logits = _log(rows)
    own = logits[np.arange(len(rows)), true].mean()
    # The loss is convex in the inverse temperature, and its slope there is the mean logit that the softened
    # model expects minus the mean logit of the labels, so the root is found by halving.
    low, high = (math.log(1 / temperature) for temperature in reversed(TEMPERATURES))
    for _ in range(60):
        middle = (low + high) / 2
        expected = (softmax(logits * math.exp(middle)) * logits).sum(axis=1).mean()
        low, high = (low, middle) if expected > own else (middle, high)
    return math.exp(-(low + high) / 2)


def apply_temperature(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Returns the probabilities `(N, K)` that the logits divided by `temperature` give.

    >>> apply_temperature([[0.8, 0.2]], 1.0), apply_temperature([[0.8, 0.2]], 2.0).round(3)
    (array([[0.8, 0.2]]), array([[0.667, 0.333]]))
    """
    rows = as_probabilities(probabilities)
    check_number("temperature", temperature, "greater than 0 and finite", lambda x: 0 < x < math.inf)
    return softmax(_log(rows) / temperature)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each row's probabilities, `exp(logits) / sum(exp(logits))`, `(N, K)`, without overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _log(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    # Logits are known up to a constant per image, and the logarithm of their softmax is as good as any.
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
