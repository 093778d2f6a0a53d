"""Galleries: the same after writing and reading, and refused when anything does not fit."""

import hashlib
import json
import os
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cifar_explain import (
    HumanView,
    Recheck,
    find_errors,
    judge_errors,
    make_gallery,
    read_gallery,
    stored_images,
    write_gallery,
)

HASH = hashlib.sha256(b"weights").hexdigest()
NAMES = ("cat", "dog", "frog")


def random_gallery(*, count=20, size=4, seed=0, concentration=0.5, names=NAMES, votes=None, rechecks=None):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet([concentration] * len(names), count).astype(np.float32)
    labels = generator.integers(0, len(names), count)
    images = generator.integers(0, 256, (count, size, size, 3), np.uint8)
    human = None
    if votes or rechecks:
        counts = generator.integers(0, 9, (count, len(names))) + np.eye(len(names), dtype=int)[labels]
        again = {i: Recheck(int(label), 0, 1, 2, 1, 1) for i, label in enumerate(labels) if i % 3}
        human = judge_errors(
            find_errors(probabilities, labels),
            counts=counts if votes else None,
            rechecks=again if rechecks else None,
        )
    gallery = make_gallery(probabilities, labels, images, class_names=names, weights_sha256=HASH, human=human)
    return gallery, images


def assert_equal(one, other):
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "human" and ours is not None:
            assert (ours.verdicts, ours.rechecks) == (theirs.verdicts, theirs.rechecks)
            ours, theirs = ours.votes, theirs.votes
        np.testing.assert_array_equal(ours, theirs)


@given(st.integers(1, 30), st.integers(0, 2**32), st.sampled_from([0.01, 0.5]), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory, count, seed, concentration, votes, rechecks):
    folder = tmp_path_factory.mktemp("gallery") / "new"
    gallery, images = random_gallery(
        count=count, seed=seed, concentration=concentration, votes=votes, rechecks=rechecks
    )
    write_gallery(gallery, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gallery.json", "gallery.png"]
    again = read_gallery(folder, weights_sha256=HASH.upper())
    assert_equal(again, gallery)
    assert again.probabilities.dtype == np.float32
    (folder / "gallery.png").unlink()
    without = read_gallery(folder, sprite=False)
    assert without.images is None
    assert_equal(replace(without, images=again.images), gallery)
    for index in again.tiles:
        np.testing.assert_array_equal(again.image(int(index)), images[index])


def test_stores_each_error_once_and_one_right_image_per_class():
    gallery, images = random_gallery(count=200)
    wrong = np.flatnonzero(gallery.probabilities.argmax(1) != gallery.labels)
    assert gallery.errors.indices.tolist() == wrong.tolist()
    assert len(set(gallery.tiles.tolist())) == len(gallery.tiles) == len(wrong) + 3
    for label, (name, index) in enumerate(gallery.examples.items()):
        assert name == NAMES[label]
        assert gallery.labels[index] == gallery.probabilities[index].argmax() == label
        right = (gallery.labels == label) & (gallery.probabilities.argmax(1) == label)
        assert gallery.probabilities[index].max() == gallery.probabilities[right].max()
        np.testing.assert_array_equal(gallery.image(index), images[index])
    absent = next(index for index in range(200) if index not in gallery.tiles)
    with pytest.raises(ValueError, match=f"stored images, got {absent}"):
        gallery.image(absent)


def test_classes_without_a_right_image_have_no_example():
    assert stored_images([[0.9, 0.1], [0.9, 0.1]], [1, 1]).tolist() == [0, 1]
    assert stored_images([[0.9, 0.1], [0.9, 0.1]], [0, 0]).tolist() == [0]


def test_a_gallery_without_its_images_says_so(folder, tmp_path):
    (folder / "gallery.png").unlink()
    gallery = read_gallery(folder, sprite=False)
    assert len(gallery.errors)
    with pytest.raises(ValueError, match="images were not read with this gallery"):
        gallery.image(int(gallery.tiles[0]))
    with pytest.raises(ValueError, match="gallery has no images to write"):
        write_gallery(gallery, tmp_path / "other")
    with pytest.raises(ValueError, match="gallery of another model"):
        read_gallery(folder, sprite=False, weights_sha256="0" * 64)


def test_peoples_view_of_other_errors_is_refused():
    gallery, images = random_gallery(votes=True, rechecks=True)
    human = gallery.human

    def make(view):
        return make_gallery(
            gallery.probabilities, gallery.labels, images, class_names=NAMES, weights_sha256=HASH, human=view
        )

    assert make(human).human is human
    for view in (
        HumanView(human.verdicts[1:], human.votes, human.rechecks),
        HumanView(human.verdicts, human.votes[:, 1:], human.rechecks),
        HumanView(human.verdicts, human.votes, human.rechecks[1:]),
    ):
        with pytest.raises(
            ValueError, match=f"human must be about {len(gallery.errors)} errors and 3 classes"
        ):
            make(view)
    others = tuple(recheck and replace(recheck, given=(recheck.given + 1) % 3) for recheck in human.rechecks)
    with pytest.raises(ValueError, match="images are numbered otherwise"):
        make(replace(human, rechecks=others))
    with pytest.raises(ValueError, match="HumanView or None, got dict"):
        make({})


def test_thousands_of_errors_of_full_size(tmp_path):
    gallery, images = random_gallery(count=3500, size=32)
    assert len(gallery.errors) > 2000
    write_gallery(gallery, tmp_path)
    again = read_gallery(tmp_path)
    np.testing.assert_array_equal(again.images, images[again.tiles])


@pytest.fixture
def folder(tmp_path):
    write_gallery(random_gallery()[0], tmp_path)
    return tmp_path


def edit(folder, **changes):
    path = folder / "gallery.json"
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is no gallery"),
        ({"version": 2}, "version must be 1, got 2"),
        ({"version": ...}, "version must be 1, got None"),
        ({"labels": ...}, "labels missing"),
        ({"labels": [0]}, "labels must be 20"),
        ({"labels": [3] + [0] * 19}, "number 0 is 3"),
        ({"labels": [0.5] * 20}, "labels must be whole numbers"),
        ({"labels": [True] * 20}, "labels must be whole numbers"),
        ({"probabilities": [[1, 0, 0]] * 19 + [[0, 0, 0]]}, "row 19"),
        ({"probabilities": [[1, 0, float("nan")]] * 20}, "no JSON: NaN"),
        ({"probabilities": [[1, 0]] * 20}, "rows of 3 numbers"),
        ({"probabilities": [["1", 0, 0]] * 20}, "rows of 3 numbers"),
        ({"probabilities": {}}, "must be a list, got dict"),
        ({"probabilities": [], "labels": []}, "at least one of each"),
        ({"class_names": ["a", "a", "b"]}, "3 different names"),
        ({"class_names": [1, 2, 3]}, "3 strings"),
        ({"class_names": [{}, [], 3]}, "3 strings"),
        ({"split": ""}, "split must be a name"),
        ({"weights_sha256": "12"}, "weights_sha256 must be 64"),
        ({"sprite_sha256": "0" * 64}, "gallery.png is not the file"),
        ({"errors": [0]}, "errors and tiles do not follow"),
        ({"errors": []}, "errors and tiles do not follow"),
        ({"tiles": [0, 1]}, "errors and tiles do not follow"),
        ({"columns": 0}, "too small or too large"),
        ({"columns": 10**9}, "too small or too large"),
        ({"columns": 1}, "must be RGB 4x"),
        ({"image_size": [8, 8]}, "must be RGB"),
        ({"image_size": [8]}, "height and width"),
        ({"image_size": [-1, 4]}, "whole numbers"),
    ],
)
def test_a_json_that_does_not_fit_is_refused(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_gallery(folder)
    assert str(folder) in str(caught.value)


E = 19  # errors of `random_gallery()`


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "human must have verdicts, votes, rechecks, got None"),
        ({"votes": ...}, "human must have"),
        ({"verdicts": ["label doubtful"]}, f"one for each of {E} errors, got 1 of them"),
        ({"verdicts": ["nobody's"] * E}, 'must each be one of label doubtful, .* got "nobody\'s"'),
        ({"verdicts": [["label doubtful"]] * E}, "must each be one of"),
        ({"votes": {}}, "human votes must be a list .* got dict"),
        ({"votes": [[0.5, 0.5]] * E}, "human votes must be rows of 3 numbers"),
        ({"votes": [[0.5, 0.5, 0.5]] * E}, "human votes: .* sum to 1"),
        ({"votes": [["1", 0, 0]] * E}, "human votes must be rows of 3 numbers"),
        ({"votes": [[10**400, 0, 0]] * E}, "human votes"),
        ({"rechecks": [None]}, "human rechecks must be a list"),
        ({"rechecks": [[0, 1, 2]] * E}, "human rechecks must be null or 6"),
        ({"rechecks": [[0, 3, 1, 1, 1, 1]] * E}, "two classes below 3"),
        ({"rechecks": [[0, 1, 0, 0, 0, 0]] * E}, "two classes below 3 and votes"),
        ({"rechecks": [[0, 1, True, 0, 0, 0]] * E}, "human rechecks must be"),
        ({"rechecks": [[0, 1, 1, 0, 0, 0]] * E}, "images are numbered otherwise"),
    ],
)
def test_peoples_view_in_a_json_that_does_not_fit_is_refused(tmp_path, change, message):
    gallery, _ = random_gallery(votes=True, rechecks=True)
    assert len(gallery.errors) == E
    write_gallery(gallery, tmp_path)
    human = json.loads((tmp_path / "gallery.json").read_text())["human"]
    if change is not None:
        change = {key: value for key, value in {**human, **change}.items() if value is not ...}
    edit(tmp_path, human=change)
    for sprite in (True, False):
        with pytest.raises(ValueError, match=message) as caught:
            read_gallery(tmp_path, sprite=sprite)
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"3"])
def test_a_file_that_is_no_gallery(folder, content):
    (folder / "gallery.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"is no (JSON|gallery)"):
        read_gallery(folder)


def test_the_gallery_of_another_model(folder):
    with pytest.raises(ValueError, match=f"gallery of another model: of weights {HASH[:12]}"):
        read_gallery(folder, weights_sha256="0" * 64)
    with pytest.raises(ValueError, match="weights_sha256 must be 64"):
        read_gallery(folder, weights_sha256="0")


def test_a_sprite_that_is_damaged_or_missing(folder):
    path = folder / "gallery.png"
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(ValueError, match="SHA-256 differs"):
        read_gallery(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_gallery(folder)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_sprite_of_another_kind_with_the_right_hash(folder, mode):
    path = folder / "gallery.png"
    with Image.open(path) as sprite:
        sprite.convert(mode).save(path)
    edit(folder, sprite_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match=f"must be RGB .* got {mode}"):
        read_gallery(folder)


def test_a_sprite_that_is_no_png_with_the_right_hash(folder):
    path = folder / "gallery.png"
    for content in (b"hello", path.read_bytes()[:60]):
        path.write_bytes(content)
        edit(folder, sprite_sha256=hashlib.sha256(content).hexdigest())
        with pytest.raises(ValueError, match="cannot be decoded"):
            read_gallery(folder)


def test_a_write_that_fails_leaves_the_old_gallery(folder, monkeypatch):
    before = read_gallery(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_gallery(random_gallery(seed=5)[0], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gallery.json", "gallery.png"]
    assert_equal(read_gallery(folder), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 4, 4, 3), np.uint8)}, r"uint8 \(1, H, W, 3\), got uint8 \(2, 4, 4, 3\)"),
        ({"images": np.zeros((1, 4, 4, 3))}, "got float64"),
        ({"images": np.zeros((1, 4, 4, 4), np.uint8)}, r"got uint8 \(1, 4, 4, 4\)"),
        ({"labels": [2]}, "number 0 is 2"),
        ({"probabilities": [[0.9, 0.9]]}, "sum to 1"),
        ({"class_names": ["a"]}, "2 different names"),
        ({"weights_sha256": "x" * 64}, "64 hexadecimal digits"),
        ({"split": None}, "split must be"),
    ],
)
def test_what_cannot_become_a_gallery(change, message):
    arguments = {
        "probabilities": [[0.9, 0.1]],
        "labels": [0],
        "images": np.zeros((1, 4, 4, 3), np.uint8),
        "class_names": ["a", "b"],
        "weights_sha256": HASH,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        make_gallery(**arguments)
