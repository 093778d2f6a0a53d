"""The real CIFAR-10, where `CIFAR_DATA_DIR` names it."""

import numpy as np
import pytest

from cifar_data import is_canonical, open_dataset
from cifar_data.dataset.arrays import Split
from cifar_data.dataset.fingerprint import canonical_order


@pytest.mark.data
def test_content_is_canonical_from_batches_in_any_order_and_its_statistics_are_the_published_ones(tmp_path):
    dataset = open_dataset(cache_dir=tmp_path)
    assert is_canonical(dataset)
    assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    # Per channel, 0 to 255, of the 50,000 training images.
    published = (125.30691805, 122.95039414, 113.86538318), (62.99321928, 62.08870764, 66.70489964)
    np.testing.assert_allclose(np.multiply([dataset.mean, dataset.std], 255), published, atol=5e-9)
    # The batches as they stand in the tarball.
    order = np.arange(50_000).reshape(5, -1)[[3, 2, 1, 4, 0]].ravel()
    shuffled = Split(dataset.train.images[order], dataset.train.labels[order])
    train, _, _ = canonical_order(shuffled, dataset.test, classes=dataset.classes, origin="x")
    np.testing.assert_array_equal(train.labels, dataset.train.labels)
    assert (train.images == dataset.train.images).all()
