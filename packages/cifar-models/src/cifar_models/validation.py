"""What several modules need for their errors: bounds, the nearest valid names, values cut short."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any


def check_int(name: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` unchanged if it is a whole number within the bounds.

    Args:
        name: What the value is called, for the error.
        value: The value to check; a bool is not a number here.
        minimum: Smallest allowed value.
        maximum: Largest allowed value, or None for no upper bound.

    Raises:
        ValueError: If the value is not an int or is out of bounds.

    >>> check_int("size", 32, minimum=16)
    32
    >>> check_int("size", 8, minimum=16)
    Traceback (most recent call last):
        ...
    ValueError: size must be an int of at least 16, got 8
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and minimum <= value and (maximum is None or value <= maximum):
        return value
    allowed = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    raise ValueError(f"{name} must be an int {allowed}, got {value!r}")


def known_names(name: object, allowed: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the nearest valid names, then all of them.

    >>> known_names("resnet", ["resnet9", "resnet18"])
    "did you mean 'resnet9' or 'resnet18'? known: 'resnet18', 'resnet9'"
    >>> known_names("vgg", ["resnet9"])
    "known: 'resnet9'"
    """
    ordered = sorted(allowed)
    near = difflib.get_close_matches(str(name), ordered, n=2)
    known = "known: " + (", ".join(map(repr, ordered)) or "none")
    return f"did you mean {' or '.join(map(repr, near))}? {known}" if near else known


def shortened(value: object) -> str:
    """Return `repr(value)`, cut short where it is long, so that a hostile file cannot flood an error.

    >>> shortened(list(range(100)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    limits = reprlib.Repr()
    limits.maxstring = limits.maxlong = limits.maxother = 100
    return limits.repr(value)
