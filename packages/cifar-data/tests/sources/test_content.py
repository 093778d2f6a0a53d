"""Statistics, hashes, and the check that what claims to be CIFAR-10 is CIFAR-10."""

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


def changed(split, field):
    """The split with the first value of a field changed, to a label that is allowed too."""
    fields = {"images": split.images.copy(), "labels": split.labels.copy()}
    fields[field].flat[0] ^= 1
    return Split(**fields)


def test_fingerprint_depends_on_images_labels_and_names(mini):
    train, test, classes = mini.train, mini.test, mini.classes
    cases = [
        (train, test, classes),
        *((changed(train, field), test, classes) for field in ("images", "labels")),
        *((train, changed(test, field), classes) for field in ("images", "labels")),
        (train, test, ("plane", *classes[1:])),
        (test, train, classes),
    ]
    found = {content.describe_dataset(*two, classes=names, origin="x").fingerprint for *two, names in cases}
    assert len(found) == len(cases)


@pytest.fixture
def batches(mini, monkeypatch):
    """The mini dataset in five batches of 40, in place of CIFAR-10."""
    batches = [Split(mini.train.images[i : i + 40], mini.train.labels[i : i + 40]) for i in range(0, 200, 40)]
    hashes = {"train": content.split_sha256(mini.train), "test": content.split_sha256(mini.test)}
    monkeypatch.setattr(content, "CANONICAL_SIZES", {"train": 200, "test": 50})
    monkeypatch.setattr(content, "CANONICAL_SHA256", hashes)
    monkeypatch.setattr(content, "CANONICAL_BATCH_SHA256", tuple(map(content.split_sha256, batches)))
    return batches


def put_in_order(train, test, classes):
    return content.canonical_order(train, test, classes=classes, origin="x")


def test_batches_in_any_order_come_out_in_canonical_order(mini, batches):
    for order in itertools.permutations(range(5)):
        names = mini.classes if order[0] else ()  # names may be missing
        train, _, classes = put_in_order(Split.join([batches[place] for place in order]), mini.test, names)
        assert classes == mini.classes
        np.testing.assert_array_equal(train.images, mini.train.images)
        np.testing.assert_array_equal(train.labels, mini.train.labels)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_altered_content_is_rejected(mini, batches, split, field):
    splits = {"train": mini.train, "test": mini.test}
    splits[split] = changed(splits[split], field)
    expected = content.CANONICAL_SHA256[split]
    with pytest.raises(DataError, match=f"the {split} split .* expected sha256 {expected}.* found "):
        put_in_order(**splits, classes=mini.classes)
    with pytest.raises(DataError, match="train split"):  # a repeated batch
        put_in_order(Split.join([batches[0], *batches[:4]]), mini.test, mini.classes)


def test_data_of_another_size_claims_nothing(mini):
    assert put_in_order(mini.train, mini.test, mini.classes) == (mini.train, mini.test, mini.classes)


def test_the_fingerprint_of_cifar10_follows_from_the_hashes_of_its_splits(monkeypatch):
    monkeypatch.setattr(content, "split_sha256", content.CANONICAL_SHA256.get)
    assert content.fingerprint("train", "test", content.CANONICAL_CLASSES) == content.CANONICAL_FINGERPRINT
