"""What the service says about one picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """A class and its probability in [0, 1], the softmax of the logits.

    Attributes:
        name: The class.
        probability: As the model gives it.
        calibrated: At the temperature that fits validation images, where it is known; None otherwise.
    """

    name: str
    probability: float
    calibrated: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says about one picture.

    Attributes:
        name: The file's name, as it came.
        seen: The picture as the model saw it, uint8 `(size, size, 3)`.
        predictions: The most probable classes, most probable first.
        target: The class that the maps explain, or None without maps.
        maps: Layer name to map `(size, size)` in [0, 1] of where it sees evidence; empty without maps.
        unfamiliar: Whether the picture looks like none of the classes; None where that cannot be told.
    """

    name: str
    seen: NDArray[np.uint8]
    predictions: tuple[Prediction, ...]
    target: str | None
    maps: Mapping[str, NDArray[np.float32]]
    unfamiliar: bool | None = None


@dataclass(frozen=True)
class Refusal:
    """A file that could not be taken as a picture.

    Attributes:
        name: The file's name, as it came.
        reason: Why, in a sentence.
    """

    name: str
    reason: str
