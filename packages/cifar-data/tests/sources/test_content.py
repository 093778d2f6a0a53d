"""Statistics, hashes, and the check that what claims to be CIFAR-10 is CIFAR-10."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cifar_data import DataError
from cifar_data.dataset import fingerprint as content
from cifar_data.dataset.arrays import Split


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.just(3))))
def test_statistics_agree_with_numpy(images):
    means, stds = content.channel_statistics(images)
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(means, pixels.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(stds, pixels.std(axis=0), atol=1e-9)


def test_fingerprint_depends_on_images_labels_and_names(mini):
    def fingerprint(train, test, classes):
        return content.describe_dataset(train, test, classes=classes, origin="x").fingerprint

    images, labels = mini.train.images.copy(), mini.train.labels.copy()
    images[0, 0, 0, 0] ^= 1
    labels[:2] = labels[1], labels[0]
    assert mini.train.labels[0] != mini.train.labels[1]
    found = {
        fingerprint(mini.train, mini.test, mini.classes),
        fingerprint(Split(images, mini.train.labels), mini.test, mini.classes),
        fingerprint(Split(mini.train.images, labels), mini.test, mini.classes),
        fingerprint(mini.train, mini.test, ("plane", *mini.classes[1:])),
        fingerprint(mini.test, mini.train, mini.classes),
    }
    assert len(found) == 5


@pytest.fixture
def as_canonical(mini, monkeypatch):
    """Let the mini dataset stand for CIFAR-10, in five batches of 40."""
    batches = [Split(mini.train.images[i : i + 40], mini.train.labels[i : i + 40]) for i in range(0, 200, 40)]
    hashes = {"train": content.split_sha256(mini.train), "test": content.split_sha256(mini.test)}
    monkeypatch.setattr(content, "CANONICAL_SIZES", {"train": 200, "test": 50})
    monkeypatch.setattr(content, "CANONICAL_SHA256", hashes)
    monkeypatch.setattr(content, "CANONICAL_BATCH_SHA256", tuple(map(content.split_sha256, batches)))
    return batches


def test_batches_in_any_order_come_out_in_canonical_order(mini, as_canonical):
    for order in itertools.permutations(range(5)):
        images = np.concatenate([as_canonical[place].images for place in order])
        labels = np.concatenate([as_canonical[place].labels for place in order])
        names = mini.classes if order[0] else ()  # names may be missing
        train, _, classes = content.canonical_order(
            Split(images, labels), mini.test, classes=names, origin="x"
        )
        assert classes == mini.classes
        np.testing.assert_array_equal(train.images, mini.train.images)
        np.testing.assert_array_equal(train.labels, mini.train.labels)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_altered_content_is_rejected(mini, as_canonical, split, field):
    splits = {"train": mini.train, "test": mini.test}
    altered = getattr(splits[split], field).copy()
    altered.flat[7] ^= 1
    splits[split] = dataclasses.replace(splits[split], **{field: altered})
    expected = content.CANONICAL_SHA256[split]
    with pytest.raises(DataError, match=f"the {split} split .* expected sha256 {expected}.* found "):
        content.canonical_order(splits["train"], splits["test"], classes=mini.classes, origin="x")


def test_a_repeated_batch_is_rejected(mini, as_canonical):
    images = np.concatenate([mini.train.images[:40], *[batch.images for batch in as_canonical[:4]]])
    labels = np.concatenate([mini.train.labels[:40], *[batch.labels for batch in as_canonical[:4]]])
    with pytest.raises(DataError, match="train split"):
        content.canonical_order(Split(images, labels), mini.test, classes=mini.classes, origin="x")


def test_data_of_another_size_claims_nothing(mini):
    splits = mini.train, mini.test
    assert content.canonical_order(*splits, classes=mini.classes, origin="x") == (*splits, mini.classes)


def test_the_fingerprint_of_cifar10_follows_from_the_hashes_of_its_splits(monkeypatch):
    monkeypatch.setattr(content, "split_sha256", content.CANONICAL_SHA256.get)
    assert content.fingerprint("train", "test", content.CANONICAL_CLASSES) == content.CANONICAL_FINGERPRINT
