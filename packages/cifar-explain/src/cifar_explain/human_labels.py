"""Annotators' votes and re-checked labels, and whether they put an error down to the label or to the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.errors import Errors

#: Causes that an error is put down to, in the order of precedence.
VERDICTS: tuple[str, ...] = ("label doubtful", "people disagree too", "the model's own")


@dataclass(frozen=True)
class Recheck:
    """A label that people were asked about again: the given and a suspected class by index, and the votes."""

    given: int
    guessed: int
    votes_given: int
    votes_guessed: int
    votes_neither: int
    votes_both: int

    @property
    def doubtful(self) -> bool:
        """True if the given label has no majority of its own (C. Northcutt et al., 2021, section 4)."""
        return self.votes_given <= self.votes_guessed + self.votes_neither + self.votes_both


@dataclass(frozen=True, eq=False)
class HumanView:
    """Verdicts on each of E errors, with shares of votes `(E, K)` and re-checks of the labels, where there are any."""

    verdicts: tuple[str, ...]
    votes: NDArray[np.float64] | None
    rechecks: tuple[Recheck | None, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of errors by verdict, all of `VERDICTS` in order."""
        return {verdict: self.verdicts.count(verdict) for verdict in VERDICTS}

    def check(self, errors: Errors) -> None:
        """Raises a `ValueError` unless this can be a view of these errors."""
        count, classes = len(errors), len(errors.class_names)
        votes = (count, classes) if self.votes is None else np.shape(self.votes)
        given = len(self.verdicts), len(self.rechecks), votes
        if given != (count, count, (count, classes)):
            got = "{} verdicts, {} rechecks and votes of the shape {}".format(*given)
            raise ValueError(f"human must be about {count} errors and {classes} classes, got {got}")
        for index, label, recheck in zip(errors.indices, errors.labels, self.rechecks, strict=True):
            if recheck and (recheck.given != label or not 0 <= recheck.guessed < classes):
                got = f"label {label}, but {recheck}"
                raise ValueError(f"image {index} has {got}; images are numbered otherwise")


def judge_errors(
    errors: Errors, *, counts: NDArray[Any] | None = None, rechecks: Mapping[int, Recheck] | None = None
) -> HumanView:
    """Returns the cause of each error, by annotators' votes, by re-checked labels, or by both.

    A label is doubtful if its re-check did not confirm it, or more annotators chose some other class. Otherwise
    people disagree too if less than 80 % of them chose the label. All other errors are the model's own. Counts and
    re-checks are those of `read_counts` and `read_rechecks`, by image as in `errors.indices`.

    >>> from cifar_explain import find_errors
    >>> errors = find_errors([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], [1, 1, 1])
    >>> judge_errors(errors, counts=np.array([[0, 50], [20, 30], [30, 20]])).verdicts
    ("the model's own", 'people disagree too', 'label doubtful')
    """
    if counts is None and rechecks is None:
        raise ValueError("counts or rechecks must be given, got neither")
    found = tuple((rechecks or {}).get(int(index)) for index in errors.indices)
    doubtful = np.array([recheck is not None and recheck.doubtful for recheck in found], bool)
    disputed, votes = np.False_, None
    if counts is not None:
        given = _as_counts(np.asarray(counts), len(counts), len(errors.class_names), "counts")
        if len(errors) and errors.indices.max() >= len(given):
            raise ValueError(f"counts has {len(given)} images, but image {errors.indices.max()} is an error")
        votes = given[errors.indices] / given[errors.indices].sum(axis=1, keepdims=True)
        own = votes[np.arange(len(errors)), errors.labels]
        doubtful |= own < votes.max(axis=1, initial=0)
        disputed = own < 0.8
    verdicts = np.where(doubtful, 0, np.where(disputed, 1, 2))
    view = HumanView(tuple(VERDICTS[verdict] for verdict in verdicts), votes, found)
    view.check(errors)
    return view


def read_counts(path: str | Path, *, images: int, classes: int) -> NDArray[np.float64]:
    """Returns how many annotators chose each of K classes for each of N images, `(N, K)`, from a `.npy` file.

    CIFAR-10H is published so (J. Peterson et al., "Human Uncertainty Makes Classification More Robust", 2019).
    """
    with Path(path).open("rb") as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is no plain .npy array: {error}") from error
    return _as_counts(array, images, classes, str(path))


def read_rechecks(path: str | Path, *, images: int, classes: int) -> dict[int, Recheck]:
    """Returns re-checked labels by image, from a JSON list as `cifar10_mturk.json`.

    Each entry has `id`, `given_original_label`, `our_guessed_label` and `mturk`, the votes for `given`,
    `guessed`, `neither` and `both` (C. Northcutt et al., "Pervasive Label Errors in Test Sets", 2021).
    """
    try:
        return dict(_recheck(entry, images, classes) for entry in json.loads(Path(path).read_bytes()))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no list of re-checked labels: {error!r}") from error


def _recheck(entry: Any, images: int, classes: int) -> tuple[int, Recheck]:
    index, given, guessed = (entry[key] for key in ("id", "given_original_label", "our_guessed_label"))
    votes = [entry["mturk"][key] for key in ("given", "guessed", "neither", "both")]
    if not all(type(number) is int and number >= 0 for number in (index, given, guessed, *votes)):
        raise ValueError(f"{entry} must hold whole numbers of at least 0")
    if index >= images or max(given, guessed) >= classes or not any(votes):
        raise ValueError(f"image {index} is not below {images}, has no votes, or a class >= {classes}")
    return index, Recheck(given, guessed, *votes)


def _as_counts(array: NDArray[Any], images: int, classes: int, source: str) -> NDArray[np.float64]:
    if array.shape != (images, classes) or array.dtype.kind not in "fiu":
        raise ValueError(f"{source} must be numbers ({images}, {classes}), got {array.dtype} {array.shape}")
    valid = (array >= 0).all(axis=1) & np.isfinite(array).all(axis=1) & (array.sum(axis=1) > 0)
    if not valid.all():
        row = f"row {valid.argmin()} is {array[valid.argmin()]}"
        raise ValueError(f"{source} must have votes of at least 0, some for each image; {row}")
    return array.astype(np.float64)
