"""Verdicts of people on a model's errors, and the files they come from."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cifar_explain import VERDICTS, Recheck, find_errors, judge_errors, read_counts, read_rechecks

ERRORS = find_errors(np.tile([[0.8, 0.1, 0.1]], (6, 1)), [1, 2, 1, 0, 1, 2])  # all but number 3
DISAGREE, OWN, DOUBTFUL = "people disagree too", "the model's own", "label doubtful"


def recheck(*votes, given=1):
    return Recheck(given, 0, *votes)


def entry(**changes):
    votes = {"given": 1, "guessed": 4, "neither": 0, "both": 0}
    return {"id": 4, "given_original_label": 1, "our_guessed_label": 0, "mturk": votes, **changes}


def test_verdicts_follow_from_votes():
    counts = np.array([[0, 10, 0], [0, 3, 7], [2, 8, 0], [9, 9, 9], [5, 4, 1], [0, 5, 5]])
    view = judge_errors(ERRORS, counts=counts)
    assert view.verdicts == (OWN, DISAGREE, OWN, DOUBTFUL, DISAGREE)
    np.testing.assert_allclose(view.votes[1], [0, 0.3, 0.7])
    assert view.counts == {DOUBTFUL: 1, DISAGREE: 2, OWN: 2}
    assert list(view.counts) == list(VERDICTS)


def test_verdicts_follow_from_rechecks_first():
    rechecks = {0: recheck(3, 2, 0, 0), 2: recheck(3, 1, 1, 1), 3: recheck(0, 5, 0, 0, given=0)}
    view = judge_errors(ERRORS, rechecks=rechecks)
    assert view.verdicts == (OWN, OWN, DOUBTFUL, OWN, OWN)
    assert view.votes is None
    assert view.rechecks == (rechecks[0], None, rechecks[2], None, None)
    both = judge_errors(ERRORS, rechecks=rechecks, counts=np.tile([0, 5, 5], (6, 1)))
    assert both.verdicts == (DISAGREE, DISAGREE, DOUBTFUL, DISAGREE, DISAGREE)
    none = find_errors([[0.9, 0.1]], [0])
    assert judge_errors(none, counts=np.array([[1, 1]]), rechecks={}).verdicts == ()


def test_counts_are_read_and_other_files_rejected(tmp_path):
    path = tmp_path / "counts.npy"
    for array in (np.ones((3, 3)), np.ones((2, 3, 1)), np.array([["a"] * 3] * 2)):
        np.save(path, array)
        with pytest.raises(ValueError, match=r"counts.npy must be numbers \(2, 3\), got"):
            read_counts(path, images=2, classes=3)
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    pickled = path.read_bytes()
    np.save(path, [[1, 2, 3], [4, 5, 6]])
    assert read_counts(path, images=2, classes=3).tolist() == [[1, 2, 3], [4, 5, 6]]
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00", pickled, path.read_bytes()[:-8]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no plain"):
            read_counts(path, images=2, classes=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSONDecodeError"),
        ("3", "not iterable"),
        ("[3]", "TypeError"),
        ([entry(id=5)], "image 5 is not below 5"),
        ([entry(id=True)], "whole numbers"),
        ([entry(our_guessed_label=2)], "a class >= 2"),
        ([entry(mturk=[1])], "TypeError"),
        ([entry(mturk=dict.fromkeys(["given", "guessed", "neither", "both"], 0))], "has no votes"),
        ([entry(mturk={"given": 0, "guessed": 0, "neither": 0})], "KeyError.'both'"),
    ],
)
def test_rechecks_are_read_and_other_files_rejected(tmp_path, content, message):
    path = tmp_path / "rechecks.json"
    path.write_text(json.dumps([entry()]))
    assert read_rechecks(path, images=5, classes=2) == {4: recheck(1, 4, 0, 0)}
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_rechecks(path, images=5, classes=2)


@pytest.mark.data
def test_published_files_have_their_published_numbers():
    folder = Path(os.environ["CIFAR_DATA_DIR"]).parent / "cifar10h"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} beside CIFAR_DATA_DIR")
    counts = read_counts(folder / "cifar10h-counts.npy", images=10_000, classes=10)
    assert counts.sum(axis=1).min() > 45
    rechecks = read_rechecks(folder / "cifar10_mturk.json", images=10_000, classes=10)
    assert len(rechecks) == 275
    # Northcutt et al., table 1: 54 errors confirmed in CIFAR-10's test set.
    assert sum(recheck.doubtful for recheck in rechecks.values()) == 54
