"""What people saw: annotators' votes and re-checked labels, and what they say about a model's errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.errors import Errors
from cifar_explain.validation import as_labels

LABEL_DOUBTFUL = "label doubtful"
PEOPLE_DISAGREE = "people disagree too"
MODELS_OWN = "the model's own"

#: What an error can be put down to, in the order of precedence.
VERDICTS: tuple[str, ...] = (LABEL_DOUBTFUL, PEOPLE_DISAGREE, MODELS_OWN)

#: Share of annotators who must agree with a label for it to count as plain to people.
AGREEMENT = 0.8


@dataclass(frozen=True)
class Recheck:
    """How a label fared when people were asked again.

    Args:
        given: Index of the label in the data set.
        guessed: Index of the label that was suspected instead.
        votes_given: People who saw only the given class.
        votes_guessed: People who saw only the suspected class.
        votes_neither: People who saw neither.
        votes_both: People who saw both.

    >>> Recheck(3, 5, votes_given=2, votes_guessed=3, votes_neither=0, votes_both=0).doubtful
    True
    """

    given: int
    guessed: int
    votes_given: int
    votes_guessed: int
    votes_neither: int
    votes_both: int

    @property
    def doubtful(self) -> bool:
        """Whether the given label lacks a majority of its own.

        Source: C. Northcutt et al., "Pervasive Label Errors in Test Sets", 2021, section 4: an error unless
        at least three of five agree with the given label.
        """
        votes = self.votes_given + self.votes_guessed + self.votes_neither + self.votes_both
        return 2 * self.votes_given <= votes


@dataclass(frozen=True, eq=False)
class HumanView:
    """What people say about each error of a table; entry for entry.

    Args:
        verdicts: One of `VERDICTS` for each error.
        votes: Share of annotators for each class, `(E, K)`, each row summing to 1; None without counts.
        rechecks: How the label fared when re-checked; None for a label that was not.
    """

    verdicts: tuple[str, ...]
    votes: NDArray[np.float64] | None
    rechecks: tuple[Recheck | None, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many errors have each verdict, all of `VERDICTS` in order."""
        return {verdict: self.verdicts.count(verdict) for verdict in VERDICTS}


def judge_errors(
    errors: Errors,
    *,
    counts: NDArray[np.number] | None = None,
    rechecks: Mapping[int, Recheck] | None = None,
    agreement: float = AGREEMENT,
) -> HumanView:
    """Return what people say about each error.

    An error's label is doubtful if the re-check did not confirm it, or more annotators chose some other class
    than the label. Else people disagree too if less than `agreement` of them chose the label. Else the error
    is the model's own.

    Args:
        errors: Errors whose `indices` number the images as `counts` and `rechecks` do.
        counts: How many people gave each class to each image, `(N, K)`, as `read_counts` returns.
        rechecks: Re-checked labels by image index, as `read_rechecks` returns.
        agreement: Share of annotators, in [0, 1].

    Raises:
        ValueError: If neither counts nor rechecks are given, they do not fit the errors, a re-checked label
            is not the error's label (the images are then numbered otherwise), or `agreement` is out of range.

    >>> from cifar_explain import find_errors
    >>> errors = find_errors([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], [1, 1, 1])
    >>> judge_errors(errors, counts=np.array([[0, 50], [20, 30], [30, 20]])).verdicts
    ("the model's own", 'people disagree too', 'label doubtful')
    """
    if counts is None and rechecks is None:
        raise ValueError("counts or rechecks must be given, got neither")
    if not 0 <= agreement <= 1:
        raise ValueError(f"agreement must be a share from 0 to 1, got {agreement!r}")
    found = tuple((rechecks or {}).get(int(index)) for index in errors.indices)
    _check_labels(errors, found)
    doubtful = np.array([recheck is not None and recheck.doubtful for recheck in found], bool)
    disputed = np.zeros(len(errors), bool)
    votes = None
    if counts is not None:
        votes = _votes_of(errors, counts)
        own = votes[np.arange(len(errors)), errors.labels]
        doubtful |= own < votes.max(axis=1, initial=0)
        disputed = own < agreement
    return HumanView(
        verdicts=tuple(
            LABEL_DOUBTFUL if wrong else PEOPLE_DISAGREE if split else MODELS_OWN
            for wrong, split in zip(doubtful, disputed, strict=True)
        ),
        votes=votes,
        rechecks=found,
    )


def check_human(human: HumanView, errors: Errors) -> HumanView:
    """Return `human` if it is about these errors, entry for entry.

    Raises:
        ValueError: If it is no `HumanView`, of another number of errors or classes, or a re-checked label is
            not the error's.

    >>> from cifar_explain import find_errors
    >>> check_human(HumanView((), None, ()), find_errors([[0.9, 0.1]], [0])).votes is None
    True
    """
    if not isinstance(human, HumanView):
        raise ValueError(f"human must be a HumanView or None, got {type(human).__name__}")  # noqa: TRY004
    shape = (len(errors), len(errors.class_names))
    votes = shape if human.votes is None else np.shape(human.votes)
    if len(human.verdicts) != len(errors) or len(human.rechecks) != len(errors) or votes != shape:
        raise ValueError(
            f"human must be about {shape[0]} errors and {shape[1]} classes, got {len(human.verdicts)} verdicts, "
            f"{len(human.rechecks)} rechecks and votes of the shape {votes}"
        )
    _check_labels(errors, human.rechecks)
    return human


def _check_labels(errors: Errors, rechecks: Sequence[Recheck | None]) -> None:
    for index, label, recheck in zip(errors.indices, errors.labels, rechecks, strict=True):
        if recheck is not None and recheck.given != label:
            raise ValueError(
                f"rechecks has label {recheck.given} for image {index}, but the data set has {label}; "
                "the images are numbered otherwise"
            )


def _votes_of(errors: Errors, counts: NDArray[np.number]) -> NDArray[np.float64]:
    array = np.asarray(counts)
    checked = as_counts(array, images=len(array), classes=len(errors.class_names), source="counts")
    indices = as_labels(errors.indices, count=len(errors), classes=len(array), argument="errors' indices")
    return checked[indices] / checked[indices].sum(axis=1, keepdims=True)


def as_counts(array: NDArray[Any], *, images: int, classes: int, source: str) -> NDArray[np.float64]:
    """Return annotators' votes `(N, K)` as float64 if they are that.

    Raises:
        ValueError: If the shape is another, or an image has no votes or less than 0 for a class.

    >>> as_counts(np.array([[1, 2]]), images=1, classes=2, source="counts")
    array([[1., 2.]])
    """
    if array.shape != (images, classes) or array.dtype.kind not in "fiu":
        raise ValueError(f"{source} must be numbers ({images}, {classes}), got {array.dtype} {array.shape}")
    counts = array.astype(np.float64)
    valid = (counts >= 0).all(axis=1) & (counts.sum(axis=1) > 0) & np.isfinite(counts).all(axis=1)
    if not valid.all():
        row = int(valid.argmin())
        raise ValueError(
            f"{source} must hold votes of at least 0, some for each image; row {row} is {array[row]}"
        )
    return counts
