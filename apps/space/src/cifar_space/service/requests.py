"""Requests to the service with their limits and checks, and its answers."""

import difflib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from cifar_explain import METHODS, Recheck

#: The target that stands for each image's own most probable class.
PREDICTED = "predicted"

#: Stands for every class where one can be chosen.
ANY = "any"

#: The orders of misclassified images: most confident errors first, greatest losses first, or drawn by a seed.
ORDERS = ("confidence", "loss", "chance")

#: Misclassified images on one page, so that any number of them stays quick to show and to explain.
PAGE_SIZE = 24

#: Greatest seed of the order by chance.
LARGEST_SEED = 2**32 - 1

#: An answer names at most this many classes, however many the model has.
MOST_CLASSES = 10

#: Called with the share of the work that is done, in [0, 1], and a description of the current step.
Progress = Callable[[float, str], None]


class RequestError(ValueError):
    """A request that cannot be answered; the message says why and is meant for the person who asked."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one request: images, bytes of each file, pixels of each before it is scaled, and seconds for maps."""

    pictures: int = 16
    file_bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value!r}")


@dataclass(frozen=True)
class Options:
    """A request about images.

    Attributes:
        top: Number of most probable classes, from 1 to `largest_top` of the model's classes.
        explain: Whether to compute maps.
        layers: The layers to explain, names of `Service.layers`; None for all of them.
        method: One of `cifar_explain.METHODS`.
        target: The class whose evidence the maps show: "predicted", or a class name.
        explained: Number of images to explain, the first ones, from 1 to `Limits.pictures`.
    """

    top: int = 3
    explain: bool = True
    layers: Sequence[str] | None = None
    method: str = "gradcam"
    target: str = PREDICTED
    explained: int = 4


@dataclass(frozen=True)
class MisclassifiedOptions:
    """A request for misclassified images.

    Attributes:
        count: Number of images on all pages, from 1 to the number of errors.
        page: Page of `PAGE_SIZE` images, counted from 1.
        order: One of `ORDERS`.
        seed: Seed of the order by chance, from 0 to 2**32 - 1.
        true: A class name, for images of this class only, or "any".
        predicted: A class name, for images predicted as this class only, or "any".
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


@dataclass(frozen=True)
class Prediction:
    """A class, its probability in [0, 1], and the calibrated one if a temperature is known."""

    name: str
    probability: float
    calibrated: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """The predictions for one image.

    Attributes:
        seen: The network's input, uint8 `(size, size, 3)`.
        predictions: The most probable classes, most probable first.
        target: The class that the maps explain; None without maps.
        maps: Layer name to map `(size, size)` in [0, 1] of the evidence; empty without maps.
        ood: Whether the image is out of distribution, like none of the classes; None if that cannot be told.
        awaited: The layers whose maps are still to come.
    """

    name: str
    seen: NDArray[np.uint8]
    predictions: tuple[Prediction, ...]
    target: str | None
    maps: Mapping[str, NDArray[np.float32]]
    ood: bool | None = None
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True)
class RejectedFile:
    """The name of a file that is no readable image, and the reason in a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class MisclassifiedImage:
    """One error.

    Attributes:
        index: The image's index in its split.
        confidence: Probability of the predicted class, in [0, 1].
        true_probability: Probability of the true class, in [0, 1].
        loss: Cross-entropy of the true class, in nats.
        seen: The network's input, uint8 `(size, size, 3)`; None if the gallery has no images.
        votes: Classes chosen by people and their shares, most frequent first; None if nobody was asked.
        verdict: One of `cifar_explain.VERDICTS`; None if nobody was asked.
        recheck: Result of re-checking the label; None if it was not re-checked.
        maps: Evidence for the predicted and for the true class, `(2, size, size)` in [0, 1]; None without maps.
        calibrated: The two probabilities, calibrated; None if no temperature is known.
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
    maps: NDArray[np.float32] | None = None
    calibrated: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class MisclassifiedPage:
    """A page of misclassified images.

    Attributes:
        page: Its number, counted from 1.
        pages: Number of pages, at least 1.
        chosen: Errors on all pages together, at most as many as were asked for.
        matching: Errors of the requested classes.
        total: All errors.
        layer: The layer of the maps; None without maps.
    """

    images: tuple[MisclassifiedImage, ...]
    page: int
    pages: int
    chosen: int
    matching: int
    total: int
    layer: str | None


def deadline(seconds: float, count: int, progress: Progress | None = None) -> Callable[[int], None]:
    """Returns a function to call with the number, from 0, of each of `count` images before it is explained.

    It reports the progress, and raises `RequestError` once the time is over.

    >>> deadline(60, 4, lambda share, text: print(share, text))(2)
    0.5 image 3 of 4
    """
    end = time.monotonic() + seconds

    def reach(number: int) -> None:
        if time.monotonic() > end:
            raise RequestError(
                f"stopped after {seconds:g} seconds; choose fewer images or layers, or another method"
            )
        if progress is not None:
            progress(number / count, f"image {min(number + 1, count)} of {count}")

    return reach


def check_options(
    options: Options, *, classes: Sequence[str], layers: Sequence[str], limits: Limits
) -> tuple[str, ...]:
    """Returns the names of the layers to explain, in the order asked for; none if `explain` is off.

    Raises:
        RequestError: If an option is not allowed for these classes, layers and limits.

    >>> check_options(Options(top=2), classes=["cat", "dog"], layers=["stem"], limits=Limits())
    ('stem',)
    """
    check_whole("top", options.top, largest=largest_top(classes))
    check_whole("explained", options.explained, largest=limits.pictures)
    check_switch("explain", options.explain)
    if not options.explain:
        return ()
    check_choice("method", options.method, METHODS)
    check_choice("target", options.target, [PREDICTED, *classes])
    wanted = tuple(layers) if options.layers is None else tuple(options.layers)
    if not wanted:
        raise RequestError(
            f"layers is empty; choose at least one of {_listed(layers)}, or set explain to false"
        )
    for name in wanted:
        check_choice("layers", name, layers)
    if len(set(wanted)) < len(wanted):
        raise RequestError(f"layers must name each layer once, got {_listed(wanted)}")
    return wanted


def largest_top(classes: Sequence[str]) -> int:
    """Returns the largest number of classes in one answer: all of them, but at most `MOST_CLASSES`."""
    return min(MOST_CLASSES, len(classes))


def check_whole(name: str, value: object, *, largest: int, smallest: int = 1) -> None:
    """Raises `RequestError` unless a value is a whole number from `smallest` to `largest`."""
    # NaN, 2.5 and "3" are no Integral; neither is a bool meant as a number.
    if isinstance(value, bool) or not isinstance(value, Integral) or not smallest <= int(value) <= largest:
        raise RequestError(f"{name} must be a whole number from {smallest} to {largest}, got {value!r:.100}")


def check_switch(name: str, value: object) -> None:
    """Raises `RequestError` unless a value is true or false."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false, got {value!r:.100}")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raises `RequestError`, with the nearest names, unless a value is one of the allowed names.

    >>> check_choice("target", "cot", ["cat", "dog"])
    Traceback (most recent call last):
        ...
    cifar_space.service.requests.RequestError: target has the unknown name 'cot'; did you mean 'cat'? known: ...
    """
    names = list(allowed)
    if value in names:
        return
    near = difflib.get_close_matches(str(value)[:100], names, n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RequestError(f"{name} has the unknown name {value!r:.100}; {hint}known: {_listed(names)}")


def check_opacity(value: object) -> None:
    """Raises `RequestError` unless a value is a number in [0, 1]."""
    # A NaN fails the comparison, so it is caught too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RequestError(f"opacity must be a number from 0 (the image) to 1 (the map), got {value!r:.100}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
