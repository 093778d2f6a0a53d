"""The drawn shapes: repeatable, balanced, and learnable by a net but not by a linear classifier."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from cifar_data import SYNTHETIC_CLASSES, TensorLoader, make_synthetic


def test_the_seed_alone_determines_the_images():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not change
    first, again, other = make_synthetic(50, 20), make_synthetic(50, 20), make_synthetic(50, 20, seed=1)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_classes_are_balanced_and_test_images_are_others_that_do_not_depend_on_the_training_size():
    dataset = make_synthetic(103, 20)
    counts = np.bincount(dataset.train.labels, minlength=10)
    assert counts.max() - counts.min() == 1
    assert dataset.classes == SYNTHETIC_CLASSES
    assert not (dataset.train.images[:20] == dataset.test.images).all()
    np.testing.assert_array_equal(dataset.test.images, make_synthetic(20, 20).test.images)


@pytest.mark.slow
def test_a_small_net_learns_it_and_a_linear_classifier_does_not():
    dataset = make_synthetic(5000, 1000)
    channels = {"mean": dataset.mean, "std": dataset.std}
    (images, labels), (test_images, test_labels) = (
        next(iter(TensorLoader(split.images, split.labels, batch_size=len(split), **channels)))
        for split in (dataset.train, dataset.test)
    )
    flat, test_flat = images[:2000].flatten(1), test_images.flatten(1)
    targets = nn.functional.one_hot(labels[:2000], 10) - 0.1
    weights = torch.linalg.solve(flat @ flat.T + 10_000 * torch.eye(2000), targets)  # ridge regression
    predicted = test_flat @ flat.T @ weights
    assert (predicted.argmax(1) == test_labels).float().mean() < 0.5

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
            for a, b in itertools.pairwise((3, 16, 32, 64))
        ]
        net = nn.Sequential(*blocks, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for batch in torch.randperm(len(labels)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        assert (net(test_images).argmax(1) == test_labels).float().mean() > 0.9
