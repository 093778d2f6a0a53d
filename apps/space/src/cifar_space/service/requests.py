"""What can be asked of the service, and how much of it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

from cifar_explain import METHODS

#: The target that stands for each picture's own most probable class.
PREDICTED = "predicted"

#: No picture's answer names more classes than this, however many the model knows.
MOST_CLASSES = 10


class RequestError(ValueError):
    """What was asked for cannot be done; the message says why and is meant for the person who asked."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one request.

    Attributes:
        pictures: Most pictures at once.
        file_bytes: Most bytes of one file.
        pixels: Most pixels of one picture, before it is scaled down.
        seconds: Longest time that may be spent on maps.

    Raises:
        ValueError: If one of them is not positive.
    """

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
    """What to tell about each picture.

    Attributes:
        top: How many of the most probable classes, from 1 to `largest_top` of the model's classes.
        explain: Whether to compute maps.
        layers: The layers to explain, names of `Service.layers`; None for all of them.
        method: One of `cifar_explain.METHODS`.
        target: The class whose evidence the maps show: "predicted", or a class name.
        explained: For how many of the pictures, the first ones, from 1 to `Limits.pictures`.
    """

    top: int = 3
    explain: bool = True
    layers: Sequence[str] | None = None
    method: str = "gradcam"
    target: str = PREDICTED
    explained: int = 4


def check_options(
    options: Options, *, classes: Sequence[str], layers: Sequence[str], limits: Limits
) -> tuple[str, ...]:
    """Return the names of the layers to explain, in the order asked for; none if `explain` is off.

    Args:
        options: What is asked for.
        classes: The model's class names.
        layers: The layers that can be explained.
        limits: What one request may ask for.

    Raises:
        RequestError: If an option is not allowed; the message names it, its value and what is allowed.

    >>> check_options(Options(), classes=["cat", "dog"], layers=["stem"], limits=Limits())
    Traceback (most recent call last):
        ...
    cifar_space.service.requests.RequestError: top must be a whole number from 1 to 2, got 3
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
        raise RequestError(f"layers is empty; choose at least one of {_listed(layers)}, or no maps at all")
    for name in wanted:
        check_choice("layers", name, layers)
    if len(set(wanted)) < len(wanted):
        raise RequestError(f"layers must name each layer once, got {_listed(wanted)}")
    return wanted


def largest_top(classes: Sequence[str]) -> int:
    """Return how many of a model's classes one answer can name: all of them, but at most `MOST_CLASSES`.

    >>> largest_top(["cat", "dog"]), largest_top([f"kind {number}" for number in range(100)])
    (2, 10)
    """
    return min(MOST_CLASSES, len(classes))


def check_whole(name: str, value: object, *, largest: int, smallest: int = 1) -> None:
    """Do nothing if a value is a whole number from `smallest` to `largest`.

    Raises:
        RequestError: If it is anything else.

    >>> check_whole("top", 2.5, largest=10)
    Traceback (most recent call last):
        ...
    cifar_space.service.requests.RequestError: top must be a whole number from 1 to 10, got 2.5
    """
    # NaN, 2.5 and "3" are no Integral; neither is a bool meant as a number.
    if isinstance(value, bool) or not isinstance(value, Integral) or not smallest <= int(value) <= largest:
        raise RequestError(f"{name} must be a whole number from {smallest} to {largest}, got {value!r:.100}")


def check_switch(name: str, value: object) -> None:
    """Do nothing if a value is true or false.

    Raises:
        RequestError: If it is anything else.

    >>> check_switch("explain", True)
    """
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false, got {value!r:.100}")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """Do nothing if a value is one of the names that are allowed.

    Raises:
        RequestError: If it is anything else; the message suggests the nearest names.

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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
