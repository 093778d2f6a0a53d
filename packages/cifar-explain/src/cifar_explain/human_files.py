"""Reading annotators' votes and re-checked labels from the files they are published in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.human_labels import Recheck, as_counts

# The fields of a re-checked label's votes, in the order of `Recheck`.
_VOTES = ("given", "guessed", "neither", "both")


def read_counts(path: str | Path, *, images: int, classes: int) -> NDArray[np.float64]:
    """Return how many annotators gave each class to each image, `(N, K)`, from a `.npy` file.

    Args:
        path: The file, such as CIFAR-10H's `cifar10h-counts.npy`.
        images: N, the images of the split.
        classes: K.

    Raises:
        ValueError: If the file is no plain `.npy` array of numbers of at least 0, of another shape, or has
            an image without votes.
        OSError: If the file cannot be read.

    Source: J. Peterson et al., "Human Uncertainty Makes Classification More Robust", 2019 (CIFAR-10H).
    """
    with Path(path).open("rb") as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is no plain .npy array: {error}") from error
    return as_counts(array, images=images, classes=classes, source=str(path))


def read_rechecks(path: str | Path, *, images: int, classes: int) -> dict[int, Recheck]:
    """Return re-checked labels by image index, from a JSON file.

    Args:
        path: The file, such as Northcutt's `cifar10_mturk.json`: a list of objects with `id`,
            `given_original_label`, `our_guessed_label` and `mturk`, the votes by `given`, `guessed`,
            `neither` and `both`.
        images: N, the images of the split.
        classes: K.

    Raises:
        ValueError: If the file is no JSON of this form, has an index or a class out of range, an image twice,
            or one without votes.
        OSError: If the file cannot be read.

    Source: C. Northcutt et al., "Pervasive Label Errors in Test Sets", 2021.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of re-checked labels, got {type(entries).__name__}")  # noqa: TRY004
    rechecks: dict[int, Recheck] = {}
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        index = _whole(entry, "id", images, where)
        if index in rechecks:
            raise ValueError(f"{where}: image {index} is there twice")
        rechecks[index] = _recheck(entry, classes, where)
    return rechecks


def _recheck(entry: Any, classes: int, where: str) -> Recheck:
    votes = entry.get("mturk")
    recheck = Recheck(
        _whole(entry, "given_original_label", classes, where),
        _whole(entry, "our_guessed_label", classes, where),
        *(_whole(votes, key, 1_000_000, f"{where}, mturk") for key in _VOTES),
    )
    if not any(votes[key] for key in _VOTES):
        raise ValueError(f"{where}: nobody voted")
    return recheck


def _whole(entry: Any, key: str, end: int, where: str) -> int:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise ValueError(f"{where}: {key} must be a whole number from 0 to {end - 1}, got {value!r}")
    return value
