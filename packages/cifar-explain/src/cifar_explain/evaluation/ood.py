"""Whether an image is like none of the classes: calibrated confidence and energy, with thresholds."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_explain.evaluation.calibration import fit_temperature, softmax
from cifar_explain.validation import check_count, known_names

# What each number may be: a test and its words.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: 0 < value < math.inf, "greater than 0 and finite"),
    "lowest_confidence": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "highest_energy": (math.isfinite, "that is finite"),
    "false_alarm_rate": (lambda value: 0 <= value < 1, "at least 0 and less than 1"),
}


@dataclass(frozen=True)
class Familiarity:
    """Which images count as unfamiliar: those that the model is less sure of than of nearly all it knows.

    An image is unfamiliar if its calibrated confidence is too low or its energy too high. Calibration makes
    the one comparable between models, such as those trained with label smoothing, which are never sure before
    it; the energy is that of the logits as they are, and means something only beside its own model's limit.

    Args:
        temperature: What logits are divided by for the confidence; greater than 0.
        lowest_confidence: Probability of the predicted class, in [0, 1], below which an image is unfamiliar.
        highest_energy: Energy (`energy_scores` at temperature 1) above which an image is unfamiliar.
        false_alarm_rate: Share of the validation images that count as unfamiliar, in [0, 1).
        images: How many validation images there were.

    Raises:
        ValueError: If a value is no finite number or out of its range.

    >>> limits = Familiarity(1.0, lowest_confidence=0.6, highest_energy=0.0, false_alarm_rate=0.05, images=500)
    >>> limits.is_unfamiliar([[5.0, 0.0], [5.0, 4.9], [-5.0, -9.0]])
    array([False,  True,  True])
    """

    temperature: float
    lowest_confidence: float
    highest_energy: float
    false_alarm_rate: float
    images: int

    def __post_init__(self) -> None:
        for name in _RANGES:
            object.__setattr__(self, name, _as_number(name, getattr(self, name)))
        object.__setattr__(self, "images", check_count("images", self.images))

    def is_unfamiliar(self, logits: Any) -> NDArray[np.bool_]:
        """Return which images count as like none of the classes, `(N,)`.

        Args:
            logits: What the model gives before any softmax, `(N, K)`.

        Raises:
            ValueError: If the logits are not finite numbers `(N, K)` with at least one row and two classes.
        """
        confidences, energies = _measures(as_logit_rows(logits), self.temperature)
        return (confidences < self.lowest_confidence) | (energies > self.highest_energy)

    def to_dict(self) -> dict[str, float]:
        """Return the fields as plain numbers, which JSON keeps to the bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Familiarity":
        """Return what `to_dict` gave.

        Raises:
            ValueError: If a field is missing, unknown, no number, or out of its range.

        >>> limits = Familiarity(1.5, 0.4, -2.0, 0.05, 500)
        >>> Familiarity.from_dict(limits.to_dict()) == limits
        True
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"familiarity must be a mapping, got {type(fields).__name__}")  # noqa: TRY004
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in fields]
        if missing:
            raise ValueError(f"familiarity has no {', '.join(missing)}")
        for name in fields:
            if name not in names:
                raise ValueError(
                    f"familiarity has the unknown field {name!r:.100}; {known_names(name, names)}"
                )
        return cls(**fields)


def energy_scores(logits: Any, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return each image's energy, `-T * ln(sum(exp(logits / T)))`, `(N,)`; higher is less familiar.

    In the units of the logits. Adding a constant to all logits of an image lowers its energy by as much,
    whereas its probabilities stay, so that energies can be compared only within one model.

    Args:
        logits: What the model gives before any softmax, `(N, K)`.
        temperature: T, greater than 0. Near 0 the energy is minus the greatest logit.

    Raises:
        ValueError: If the logits are not finite numbers `(N, K)` with at least one row and two classes, or
            the temperature is not greater than 0 and finite.

    Source:
        W. Liu et al., "Energy-based Out-of-distribution Detection", 2020, equation 4.

    >>> energy_scores([[0.0, 0.0], [10.0, 0.0]]).round(3)
    array([ -0.693, -10.   ])
    """
    rows = as_logit_rows(logits)
    scale = _as_number("temperature", temperature)
    greatest = rows.max(axis=1)
    return -greatest - scale * np.log(np.exp((rows - greatest[:, None]) / scale).sum(axis=1))


def fit_familiarity(logits: Any, labels: Any, *, false_alarm_rate: float = 0.05) -> Familiarity:
    """Return thresholds at which few validation images count as unfamiliar.

    The two thresholds are chosen together: each by itself flags equally many images, as many as leave the
    share that either of them flags at most `false_alarm_rate`. The rate says nothing of how many strange
    images are found; nobody can know them all beforehand.

    Args:
        logits: What the model gives to validation images, `(N, K)`, which it was not trained on.
        labels: Their true class indices `(N,)`, for the temperature.
        false_alarm_rate: Share of the validation images that may be flagged, at least 0 and less than 1.

    Raises:
        ValueError: If shapes or values do not fit together, or the rate is out of range.

    Source:
        Confidence: D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples", 2017; its calibration: C. Guo et al., 2017. Energy: W. Liu et al., 2020.

    >>> logits = np.random.default_rng(0).normal(size=(1000, 10)) * 3
    >>> limits = fit_familiarity(logits, logits.argmax(axis=1))
    >>> limits.false_alarm_rate <= 0.05, limits.images, limits.is_unfamiliar(np.zeros((1, 10)))
    (True, 1000, array([ True]))
    """
    rows = as_logit_rows(logits)
    rate = _as_number("false_alarm_rate", false_alarm_rate)
    temperature = fit_temperature(softmax(rows), labels)
    confidences, energies = _measures(rows, temperature)
    # The most doubtful image first, by each measure.
    doubts = np.stack([-confidences, energies])
    ordered = -np.sort(-doubts, axis=1)
    # Where each measure flags at most its `k` most doubtful images (of equals all or none), image `i` is
    # flagged from `k = reached[i]` on.
    reached = np.min(
        [np.searchsorted(-row, -doubt, "right") for row, doubt in zip(ordered, doubts, strict=True)], axis=0
    )
    # The small number makes 0.29 of 100 images 29, which floating point would make 28.
    allowed = min(math.floor(rate * len(rows) + 1e-9), len(rows) - 1)
    k = int(np.sort(reached)[allowed]) - 1
    # Halfway to the next image, so that rounding in another batch changes nothing.
    least_sure, highest = ((row[max(k - 1, 0)] + row[k]) / 2 for row in ordered)
    fitted = Familiarity(temperature, -least_sure, highest, 0.0, len(rows))
    return dataclasses.replace(fitted, false_alarm_rate=float(fitted.is_unfamiliar(rows).mean()))


def as_logit_rows(logits: Any) -> NDArray[np.float64]:
    """Return logits `(N, K)` as float64.

    Raises:
        ValueError: If they are not finite numbers of this shape, with at least one row and two classes.

    >>> as_logit_rows([[1, 2]])
    array([[1., 2.]])
    """
    # NumPy knows no bfloat16.
    array = np.asarray(logits.detach().cpu().double() if isinstance(logits, torch.Tensor) else logits)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"logits must be numbers (N, K), N at least 1 and K at least 2, got {array.dtype} {array.shape}"
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(f"logits must be finite, but row {int(finite.argmin())} has NaN or infinity")
    return array.astype(np.float64)


def _measures(
    rows: NDArray[np.float64], temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each image's calibrated confidence and its energy, both `(N,)`."""
    return softmax(rows / temperature).max(axis=1), energy_scores(rows)


def _as_number(name: str, value: Any) -> float:
    fits, words = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not fits(float(value)):
        raise ValueError(f"{name} must be a number {words}, got {value!r:.100}")
    return float(value)
