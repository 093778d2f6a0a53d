"""Numbers as people write them."""

from __future__ import annotations

from typing import Any, TypeAlias

#: Values of the template's fields.
Fields: TypeAlias = dict[str, Any]


def percent(share: float, *, digits: int = 2) -> str:
    """A share for people.

    >>> percent(0.9024), percent(0.5, digits=0)
    ('90.24 %', '50 %')
    """
    return f"{100 * float(share):.{digits}f} %"


def count_noun(count: int, noun: str) -> str:
    """A count with its noun.

    >>> count_noun(1, "epoch"), count_noun(7, "epoch")
    ('1 epoch', '7 epochs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
