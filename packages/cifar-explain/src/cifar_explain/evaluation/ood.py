"""Out-of-distribution (OOD) detection by calibrated confidence and energy, with thresholds from validation images."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_explain.evaluation.calibration import fit_temperature, softmax
from cifar_explain.validation import check_count, check_number

# In weights files since version 1.
_STORED = {"false_positive_rate": "false_alarm_rate"}

# Of each number, what is allowed, in words and as a test.
_ALLOWED: dict[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("greater than 0 and finite", lambda value: 0 < value < math.inf),
    "lowest_confidence": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "highest_energy": ("that is finite", math.isfinite),
    "false_positive_rate": ("at least 0 and less than 1", lambda value: 0 <= value < 1),
}


@dataclass(frozen=True)
class OODDetector:
    """Thresholds beyond which an image counts as out of distribution.

    Calibration makes confidence comparable between models, such as those trained with label smoothing; energy is
    that of the logits as they are, and comparable only within one model.

    An image is OOD if the probability of its predicted class, of logits divided by `temperature`, is below the lowest
    confidence, or its energy, as of `energy_scores`, is above the highest. The false positive rate is the share of the
    `images`, those of validation, that count as OOD.
    """

    temperature: float
    lowest_confidence: float
    highest_energy: float
    false_positive_rate: float
    images: int

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            object.__setattr__(self, name, check_number(name, getattr(self, name), *allowed))
        object.__setattr__(self, "images", check_count("images", self.images))

    def is_ood(self, logits: Any) -> NDArray[np.bool_]:
        """Returns which images count as out of distribution, `(N,)`, by their logits `(N, K)`."""
        confidences, energies = _measures(_as_logit_rows(logits), self.temperature)
        return (confidences < self.lowest_confidence) | (energies > self.highest_energy)

    def to_dict(self) -> dict[str, float]:
        """Returns plain numbers, which JSON keeps to the bit, under the names that weights files have."""
        return {_STORED.get(name, name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "OODDetector":
        """Returns the detector of `to_dict`."""
        names = {_STORED.get(field.name, field.name): field.name for field in dataclasses.fields(cls)}
        given = list(fields) if isinstance(fields, Mapping) else [type(fields).__name__]
        if set(given) != set(names):
            got = ", ".join(map(str, given))
            raise ValueError(f"familiarity must be a mapping of {', '.join(names)}, got {got:.100}")
        return cls(**{names[name]: value for name, value in fields.items()})


def energy_scores(logits: Any) -> NDArray[np.float64]:
    """Returns each image's energy, `-ln(sum(exp(logits)))`, `(N,)`; the higher, the less familiar.

    A constant added to all logits `(N, K)` of an image lowers its energy by as much, whereas its probabilities
    stay: energies can be compared only within one model.

    Source: W. Liu et al., "Energy-based Out-of-distribution Detection", 2020, equation 4, with T = 1.

    >>> energy_scores([[0.0, 0.0], [10.0, 0.0]]).round(3)
    array([ -0.693, -10.   ])
    """
    rows = _as_logit_rows(logits)
    greatest = rows.max(axis=1)
    return -greatest - np.log(np.exp(rows - greatest[:, None]).sum(axis=1))


def fit_ood_detector(logits: Any, labels: Any, *, false_positive_rate: float = 0.05) -> OODDetector:
    """Returns thresholds at which few validation images count as out of distribution.

    Each threshold by itself flags equally many images, as many as leave the share that either of them flags at most
    `false_positive_rate`, in [0, 1). The rate says nothing of how many OOD images are found. The logits `(N, K)` are
    of images that the model was not trained on; their true classes `(N,)` decide the temperature.

    Source: D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", 2017,
    for the confidence; C. Guo et al., 2017, for its calibration; W. Liu et al., 2020, for the energy.
    """
    rows = _as_logit_rows(logits)
    rate = check_number("false_positive_rate", false_positive_rate, *_ALLOWED["false_positive_rate"])
    temperature = fit_temperature(softmax(rows), labels)
    confidences, energies = _measures(rows, temperature)
    # The most doubtful image first, by each measure.
    doubts = np.stack([-confidences, energies])
    ordered = -np.sort(-doubts, axis=1)
    # Where each measure flags at most its `k` most doubtful images (of equals all or none), an image is flagged
    # from the least `k` of its two ranks on.
    ranks = [np.searchsorted(-row, -doubt, "right") for row, doubt in zip(ordered, doubts, strict=True)]
    # The small number makes 0.29 of 100 images 29, which floating point would make 28.
    allowed = min(math.floor(rate * len(rows) + 1e-9), len(rows) - 1)
    k = int(np.sort(np.min(ranks, axis=0))[allowed]) - 1
    # Halfway to the next image, so that rounding in another batch changes nothing.
    least_confident, highest = ((row[max(k - 1, 0)] + row[k]) / 2 for row in ordered)
    fitted = OODDetector(temperature, -least_confident, highest, 0.0, len(rows))
    return dataclasses.replace(fitted, false_positive_rate=float(fitted.is_ood(rows).mean()))


def _as_logit_rows(logits: Any) -> NDArray[np.float64]:
    # NumPy knows no bfloat16.
    array = np.asarray(logits.detach().cpu().double() if isinstance(logits, torch.Tensor) else logits)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2 or array.dtype.kind not in "fiu":
        got = f"{array.dtype} {array.shape}"
        raise ValueError(f"logits must be numbers (N, K), N at least 1 and K at least 2, got {got}")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(f"logits must be finite, but row {int(finite.argmin())} has NaN or infinity")
    return array.astype(np.float64)


def _measures(rows: NDArray[np.float64], temperature: float) -> tuple[NDArray[np.float64], ...]:
    """Returns each image's calibrated confidence and its energy, both `(N,)`."""
    return softmax(rows / temperature).max(axis=1), energy_scores(rows)
