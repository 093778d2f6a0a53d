"""What can be asked about misclassified images, and what the answers are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_explain import Recheck

#: What the images can be ordered by: the surest errors first, the greatest losses first, or drawn by a seed.
ORDERS = ("confidence", "loss", "chance")

#: Stands for every class where one can be chosen.
ANY = "any"

#: Images on one page, so that any number of them stays quick to show and to explain.
PAGE_SIZE = 24

#: Greatest seed of the order by chance.
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class MisclassifiedOptions:
    """Which misclassified images to show, and how.

    Attributes:
        count: How many, from 1 to the number of all errors.
        page: Which `PAGE_SIZE` of them, counted from 1.
        order: One of `ORDERS`.
        seed: Draws the order by chance, from 0 to 2**32 - 1.
        true: A class name, to show images of this class only, or "any".
        predicted: A class name, to show images taken for this class only, or "any".
        explain: Whether to compute maps, for the predicted and for the true class.
        layer: The layer to explain; None for the deepest.
        method: One of `cifar_explain.METHODS`.
    """

    count: int = PAGE_SIZE
    page: int = 1
    order: str = "confidence"
    seed: int = 0
    true: str = ANY
    predicted: str = ANY
    explain: bool = False
    layer: str | None = None
    method: str = "gradcam"


@dataclass(frozen=True, eq=False)
class MisclassifiedImage:
    """One error.

    Attributes:
        index: The image's number in its split.
        true: Its class.
        predicted: The class that it is taken for.
        confidence: Probability of the predicted class, in [0, 1].
        true_probability: Probability of the true class, in [0, 1].
        loss: Cross-entropy of the true class, in nats.
        seen: The picture as the model sees it, uint8 `(size, size, 3)`; None where the gallery has no images.
        votes: The classes that people gave it, each with the share of the people, most frequent first; None
            where nobody was asked.
        verdict: What the error can be put down to, one of `cifar_explain.VERDICTS`; None where it is unknown.
        recheck: How its label fared when it was re-checked; None if it was not.
        maps: Where the layer sees evidence for the predicted and for the true class, `(2, size, size)` in
            [0, 1]; None without maps.
    """

    index: int
    true: str
    predicted: str
    confidence: float
    true_probability: float
    loss: float
    seen: NDArray[np.uint8] | None
    votes: tuple[tuple[str, float], ...] | None
    verdict: str | None
    recheck: Recheck | None
    maps: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class MisclassifiedPage:
    """Some of the errors.

    Attributes:
        images: Those on the page.
        page: Its number, counted from 1.
        pages: How many pages there are, at least 1.
        chosen: Errors on all pages together: at most as many as were asked for.
        matching: Errors of the classes asked for.
        total: All errors.
        layer: The layer that the maps are of; None without maps.
    """

    images: tuple[MisclassifiedImage, ...]
    page: int
    pages: int
    chosen: int
    matching: int
    total: int
    layer: str | None
