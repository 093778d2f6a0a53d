"""Numbers in words, also those that are wrong."""


def check(fits: bool, name: str, value: object, allowed: str) -> None:
    """Raises a `ValueError` that has the name, the value and what is allowed, unless the value fits."""
    if not fits:
        raise ValueError(f"{name} is {value!r}; it must be {allowed}")


def percent(share: float, digits: int = 2) -> str:
    """Returns a share as a percentage.

    >>> percent(0.9024), percent(0.5, digits=0)
    ('90.24 %', '50 %')
    """
    return f"{100 * float(share):.{digits}f} %"


def count_noun(count: int, noun: str) -> str:
    """Returns a count with its noun.

    >>> count_noun(1, "epoch"), count_noun(7, "epoch")
    ('1 epoch', '7 epochs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_duration(seconds: float) -> str:
    """Returns a duration to the second, with hours only if there are any.

    >>> format_duration(75.4), format_duration(3 * 3600 + 5)
    ('1:15', '3:00:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
