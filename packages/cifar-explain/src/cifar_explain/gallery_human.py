"""What people say about errors, as the field `human` of a gallery's JSON."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.human_labels import VERDICTS, HumanView, Recheck
from cifar_explain.validation import as_probabilities

# A re-checked label is six numbers: the two classes, then the votes, in the order of `Recheck`.
_NUMBERS = len(Recheck.__dataclass_fields__)
_FIELDS = ("verdicts", "votes", "rechecks")


def human_fields(human: HumanView) -> dict[str, Any]:
    """Return what `parse_human` reads back to the bit: JSON values only.

    >>> human_fields(HumanView(("the model's own",), None, (Recheck(1, 0, 5, 0, 0, 0),)))
    {'verdicts': ["the model's own"], 'votes': None, 'rechecks': [[1, 0, 5, 0, 0, 0]]}
    """
    return {
        "verdicts": list(human.verdicts),
        "votes": None if human.votes is None else human.votes.tolist(),
        "rechecks": [
            None if recheck is None else [getattr(recheck, name) for name in Recheck.__dataclass_fields__]
            for recheck in human.rechecks
        ],
    }


def parse_human(value: Any, *, errors: int, classes: int) -> HumanView:
    """Return people's view from a JSON value, checked except for its fit to the errors' labels.

    Args:
        value: What `human_fields` gave.
        errors: How many errors there are.
        classes: K.

    Raises:
        ValueError: If a field is missing or not as it must be.

    >>> fields = {"verdicts": ["the model's own"], "votes": [[0.25, 0.75]], "rechecks": [None]}
    >>> parse_human(fields, errors=1, classes=2).votes
    array([[0.25, 0.75]])
    """
    if not isinstance(value, dict) or any(name not in value for name in _FIELDS):
        raise ValueError(f"human must have {', '.join(_FIELDS)}, got {value!r:.100}")
    verdicts = _rows(value["verdicts"], "verdicts", errors)
    for verdict in verdicts:
        if not isinstance(verdict, str) or verdict not in VERDICTS:
            raise ValueError(
                f"human verdicts must each be one of {', '.join(VERDICTS)}, got {verdict!r:.100}"
            )
    rechecks = _rows(value["rechecks"], "rechecks", errors)
    return HumanView(
        verdicts=tuple(verdicts),
        votes=None if value["votes"] is None else _votes(value["votes"], errors, classes),
        rechecks=tuple(None if numbers is None else _recheck(numbers, classes) for numbers in rechecks),
    )


def _rows(value: Any, name: str, errors: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != errors:
        got = f"{len(value)} of them" if isinstance(value, list) else type(value).__name__
        raise ValueError(f"human {name} must be a list with one for each of {errors} errors, got {got}")
    return value


def _votes(value: Any, errors: int, classes: int) -> NDArray[np.float64]:
    rows = _rows(value, "votes", errors)
    if not all(
        isinstance(row, list) and len(row) == classes and all(type(share) in (float, int) for share in row)
        for row in rows
    ):
        raise ValueError(f"human votes must be rows of {classes} numbers")
    try:
        return as_probabilities(rows) if rows else np.empty((0, classes))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"human votes: {error}") from error


def _recheck(numbers: Any, classes: int) -> Recheck:
    fits = (
        isinstance(numbers, list)
        and len(numbers) == _NUMBERS
        and all(type(number) is int and 0 <= number < 2**31 for number in numbers)
        and max(numbers[:2]) < classes
        and any(numbers[2:])
    )
    if not fits:
        raise ValueError(
            f"human rechecks must be null or {_NUMBERS} whole numbers, two classes below {classes} and votes, "
            f"got {numbers!r:.100}"
        )
    return Recheck(*numbers)
