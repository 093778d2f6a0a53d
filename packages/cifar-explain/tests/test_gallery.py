"""Galleries: the same after writing and reading, and rejected when anything does not fit."""

import hashlib
import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cifar_explain as ce

HASH = hashlib.sha256(b"weights").hexdigest()
NAMES = ("cat", "dog", "frog")
E = 19  # errors of `random_gallery()`


def random_gallery(*, count=20, seed=0, concentration=0.5, votes=False, rechecks=False):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet([concentration] * 3, count).astype(np.float32)
    labels = generator.integers(0, 3, count)
    images = generator.integers(0, 256, (count, 4, 4, 3), np.uint8)
    counts = generator.integers(0, 9, (count, 3)) + np.eye(3, dtype=int)[labels]
    again = {i: ce.Recheck(int(label), 0, 1, 2, 1, 1) for i, label in enumerate(labels) if i % 3}
    asked = ({"counts": counts} if votes else {}) | ({"rechecks": again} if rechecks else {})
    human = ce.judge_errors(ce.find_errors(probabilities, labels), **asked) if asked else None
    named = {"class_names": NAMES, "weights_sha256": HASH, "human": human}
    return ce.make_gallery(probabilities, labels, images, **named), images


def assert_equal(one, other):
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "human" and ours is not None:
            assert (ours.verdicts, ours.rechecks) == (theirs.verdicts, theirs.rechecks)
            ours, theirs = ours.votes, theirs.votes
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def folder(tmp_path):
    ce.write_gallery(random_gallery(votes=True, rechecks=True)[0], tmp_path)
    return tmp_path


def edit(folder, **changes):
    path = folder / "gallery.npz"
    with np.load(path) as archive:
        document = {**archive, **changes}
    np.savez(path, **{key: value for key, value in document.items() if value is not ...})


@given(
    count=st.integers(1, 30) | st.just(5000),  # thousands of errors
    seed=st.integers(0, 2**32),
    concentration=st.sampled_from([0.01, 0.5]),
    votes=st.booleans(),
    rechecks=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_gallery_is_the_same_after_a_round_trip(tmp_path_factory, **arguments):
    folder = tmp_path_factory.mktemp("gallery") / "new"
    gallery, images = random_gallery(**arguments)
    ce.write_gallery(gallery, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gallery.npz", "gallery.png"]
    again = ce.read_gallery(folder, weights_sha256=HASH.upper())
    assert_equal(again, gallery)
    assert again.probabilities.dtype == np.float32
    np.testing.assert_array_equal(again.images, images[again.tiles])
    content = (folder / "gallery.npz").read_bytes()
    ce.write_gallery(again, folder)
    assert (folder / "gallery.npz").read_bytes() == content
    (folder / "gallery.png").unlink()
    assert_equal(replace(ce.read_gallery(folder), images=again.images), gallery)


def test_gallery_stores_each_error_once_and_one_right_image_per_class():
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
    assert ce.stored_images([[0.9, 0.1], [0.9, 0.1]], [1, 1]).tolist() == [0, 1]  # nothing right, no example
    absent = next(index for index in range(200) if index not in gallery.tiles)
    with pytest.raises(ValueError, match=f"stored images, got {absent}"):
        gallery.image(absent)


def test_gallery_of_another_model_or_without_its_images_says_so(folder, tmp_path):
    with pytest.raises(ValueError, match=f"gallery of another model: of weights {HASH[:12]}"):
        ce.read_gallery(folder, weights_sha256="0" * 64)
    (folder / "gallery.png").unlink()
    gallery = ce.read_gallery(folder)
    assert len(gallery.errors) == E
    with pytest.raises(ValueError, match="this gallery has no images"):
        gallery.image(int(gallery.tiles[0]))
    with pytest.raises(ValueError, match="gallery has no images to write"):
        ce.write_gallery(gallery, tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "version must be 2, got 3"),
        ({"version": ...}, "has no 'version'"),
        ({"labels": [3] + [0] * 19}, "number 0 is 3"),
        ({"labels": [None] * 20}, "no gallery: Object arrays"),
        ({"probabilities": 0.5}, "must be numbers"),
        ({"class_names": "abc"}, "3 different names"),
        ({"split": ""}, "split must be a name"),
        ({"weights_sha256": "12"}, "weights_sha256 must be 64"),
        ({"sprite_sha256": "0" * 64}, "gallery.png is not the file"),
        ({"rechecks": ...}, "has no 'rechecks'"),
        ({"verdicts": ["label doubtful"]}, f"about {E} errors and 3 classes, got 1 verdicts"),
        ({"votes": [[0.5, 0.5]] * E}, "votes of the shape"),
        ({"votes": [["a", "b", "c"]] * E}, "could not convert"),
        ({"rechecks": [[-1] * 6]}, "got 19 verdicts, 1 rechecks"),
        ({"rechecks": [[0, 1, 1, 0, 0, 0]] * E}, "images are numbered otherwise"),
    ],
)
def test_archive_that_does_not_fit_is_rejected(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        ce.read_gallery(folder)
    assert str(folder) in str(caught.value)


def test_file_that_is_no_archive_is_rejected(folder):
    path = folder / "gallery.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (b"", b"{", whole[:-30], whole[:200], damaged, array.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no gallery"):
            ce.read_gallery(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: Image.open(path).convert("L").save(path), "must be RGB .* got L"),
        (lambda path: Image.new("RGB", (17, 24)).save(path), "RGB with 4 x 5 tiles, got RGB 17x24"),
        (lambda path: path.write_bytes(b"hello"), "cannot be decoded"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be decoded"),
    ],
)
def test_sprite_of_another_kind_with_the_right_hash_is_rejected(folder, change, message):
    path = folder / "gallery.png"
    change(path)
    edit(folder, sprite_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match=message):
        ce.read_gallery(folder)


def test_failed_write_leaves_the_old_gallery(folder, monkeypatch):
    before = ce.read_gallery(folder)

    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        ce.write_gallery(random_gallery(seed=5)[0], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gallery.npz", "gallery.png"]
    assert_equal(ce.read_gallery(folder), before)
