"""Checks of settings, whose errors name the setting, its value and what is allowed."""

import difflib
from collections.abc import Iterable


def check_integer(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise unless the value is a whole number from `low` to `high`, both included.

    Raises:
        ValueError: Naming the setting as its user writes it.

    >>> check_integer("data.batch_size", 512, low=1)
    >>> check_integer("data.val_size", 50_000, low=0, high=49_999)
    Traceback (most recent call last):
    ...
    ValueError: data.val_size must be a whole number from 0 to 49999, got 50000
    """
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if is_integer and low <= value and (high is None or value <= high):  # type: ignore[operator]
        return
    allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Raise unless the value is a number from 0 to below 1.

    Raises:
        ValueError: Naming the setting as its user writes it.

    >>> check_share("data.augmentation.contrast", 0.2)
    >>> check_share("data.augmentation.contrast", 20)
    Traceback (most recent call last):
    ...
    ValueError: data.augmentation.contrast must be a number from 0 to below 1, got 20
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value < 1):  # type: ignore[operator]
        raise ValueError(f"{name} must be a number from 0 to below 1, got {value!r}")


def check_choice(name: str, value: object, *, allowed: Iterable[str]) -> None:
    """Raise unless the value is one of the allowed names.

    Raises:
        ValueError: Naming the setting, all allowed names, and the nearest of them.

    >>> check_choice("data.loader", "tensr", allowed=("tensor", "bolts"))
    Traceback (most recent call last):
    ...
    ValueError: data.loader must be one of tensor, bolts, got 'tensr'; did you mean tensor?
    """
    names = list(allowed)
    if value in names:
        return
    near = difflib.get_close_matches(str(value).lower(), names, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}{hint}")
