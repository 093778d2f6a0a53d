"""Argument checks."""

import reprlib
from typing import Any


def check_int(name: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """Returns `value` if it is an int (not a bool) within the bounds, else raises a ValueError that calls it `name`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and minimum <= value and (maximum is None or value <= maximum):
        return value
    allowed = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    raise ValueError(f"{name} must be an int {allowed}, got {value!r}")


def shortened(value: object) -> str:
    """Returns `repr(value)`, truncated, so that a hostile file cannot flood an error message."""
    limits = reprlib.Repr()
    limits.maxstring = limits.maxlong = limits.maxother = 100
    return limits.repr(value)
