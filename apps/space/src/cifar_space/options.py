"""What can be asked of the service, and how much of it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

from cifar_explain import METHODS

#: The target that stands for each picture's own most probable class.
PREDICTED = "predicted"


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
        top: How many of the most probable classes, from 1 to the number of classes.
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
    cifar_space.options.RequestError: top must be a whole number from 1 to 2, got 3
    >>> check_options(Options(top=2), classes=["cat", "dog"], layers=["stem"], limits=Limits())
    ('stem',)
    """
    _check_whole("top", options.top, largest=len(classes))
    _check_whole("explained", options.explained, largest=limits.pictures)
    if not isinstance(options.explain, bool):
        raise RequestError(f"explain must be true or false, got {options.explain!r}")
    if not options.explain:
        return ()
    _check_choice("method", options.method, METHODS)
    _check_choice("target", options.target, [PREDICTED, *classes])
    wanted = tuple(layers) if options.layers is None else tuple(options.layers)
    if not wanted:
        raise RequestError(f"layers is empty; choose at least one of {_listed(layers)}, or no maps at all")
    for name in wanted:
        _check_choice("layers", name, layers)
    if len(set(wanted)) < len(wanted):
        raise RequestError(f"layers must name each layer once, got {_listed(wanted)}")
    return wanted


def _check_whole(name: str, value: object, *, largest: int) -> None:
    # NaN, 2.5 and "3" are no Integral; neither is a bool meant as a number.
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) <= largest:
        raise RequestError(f"{name} must be a whole number from 1 to {largest}, got {value!r}")


def _check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if value in names:
        return
    near = difflib.get_close_matches(str(value), names, n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RequestError(f"{name} has the unknown name {value!r}; {hint}known: {_listed(names)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
