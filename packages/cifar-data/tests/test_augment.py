"""The augmentation's random parameters, and that both loaders draw them from one distribution."""

import itertools

import numpy as np
import pytest
import torch

from cifar_data.augmentation.policy import Augmentation, draw_parameters
from cifar_data.dataset.arrays import Split
from cifar_data.loaders.albumentations import AlbumentationsDataset
from cifar_data.loaders.tensor import TensorLoader

LIMIT = 4.5  # standard deviations; by chance less than once in 1000 such tests, and the seeds are fixed


def excess(values, choices):
    """Chi-square of the counts of 0 to choices - 1 against equal ones, in standard deviations above its mean."""
    counts = np.bincount(values, minlength=choices)
    assert len(counts) == choices
    expected = len(values) / choices
    statistic = ((counts - expected) ** 2 / expected).sum()
    return (statistic - (choices - 1)) / np.sqrt(2 * (choices - 1))


def draw_images(loader, image, count, fill):
    images, labels = np.broadcast_to(image, (count, *image.shape)), np.zeros(count, dtype=np.int64)
    options = {"mean": (fill / 255,) * 3, "std": (1, 1, 1), "augmentation": Augmentation(), "seed": 0}
    if loader == "tensor":
        drawn = TensorLoader(images, labels, batch_size=count, **options).batch(torch.arange(count), epoch=0)
    else:
        dataset = AlbumentationsDataset(Split(images, labels), **options)
        drawn = torch.stack([dataset[(0, position)][0] for position in range(count)])
    return (drawn * 255 + fill).round().int().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("loader", ["tensor", "albumentations"])
def test_each_choice_is_equally_likely_and_independent_of_the_others(loader):
    row, column = np.mgrid[:32, :32]
    count, fill = 3000, 230  # the colour of the hole
    # The pixels tell their places: in red the row, in green the column.
    coded = np.stack([50 + row, 100 + column, np.full((32, 32), 10)], axis=-1).astype(np.uint8)
    images = draw_images(loader, coded, count, fill)
    hole = (images == fill).all(axis=-1)
    from_image = images[..., 2] == 10
    assert not images[~hole & ~from_image].any(), "the border is black"

    def value_of(values):
        """The one value that the pixels of each image have in common, or -1."""
        low = np.where(from_image, values, 999).min(axis=(1, 2))
        return np.where(low == np.where(from_image, values, -999).max(axis=(1, 2)), low, -1)

    unflipped, flipped = (value_of(images[..., 1] - 96 - seen) for seen in (column, 31 - column))
    found = {
        "top": (value_of(images[..., 0] - 46 - row), 9),
        "left": (np.maximum(unflipped, flipped), 9),
        "flip": ((unflipped < 0).astype(int), 2),
        "hole_top": (hole.any(axis=2).argmax(axis=1), 25),
        "hole_left": (hole.any(axis=1).argmax(axis=1), 25),
    }
    for name, (values, choices) in found.items():
        assert excess(values, choices) < LIMIT, name
    table = np.corrcoef([values for values, _ in found.values()])
    # Of independent draws a correlation has the standard deviation 1 / sqrt(count).
    assert np.abs(table - np.eye(len(found))).max() < LIMIT / np.sqrt(count)


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_factors_are_uniform_around_one_and_independent(name):
    drawn = draw_parameters(20_000, Augmentation(brightness=0.2, contrast=0.2), seed=0, epoch=0)
    factors = getattr(drawn, name)
    assert factors.dtype == torch.float32
    assert excess(((factors - 0.8) / 0.4 * 10).int(), 10) < LIMIT
    assert abs(np.corrcoef(drawn.brightness, drawn.contrast)[0, 1]) < LIMIT / 20_000**0.5
    assert (getattr(draw_parameters(9, Augmentation(), seed=0, epoch=0), name) == 1).all()


def test_epochs_and_seeds_have_draws_of_their_own():
    keys = itertools.product((0, 1), repeat=2)
    crops = [draw_parameters(1000, Augmentation(), seed=seed, epoch=epoch).crop for seed, epoch in keys]
    for one, other in itertools.combinations(crops, 2):
        # Of independent pairs of 81 places 1 in 81 is equal: 12 of 1000 expected, 40 are 8 deviations.
        assert (one == other).all(dim=1).sum() < 40


def test_one_kind_of_parameter_does_not_shift_another():
    full = draw_parameters(100, Augmentation(), seed=0, epoch=0)
    plain = draw_parameters(100, Augmentation(flip="none", cutout=0), seed=0, epoch=0)
    assert torch.equal(full.crop, plain.crop)
    assert not plain.flip.any()


def test_alternating_flips_show_both_sides_in_any_two_consecutive_epochs():
    options = {"augmentation": Augmentation(flip="alternate"), "seed": 0}
    flips = [draw_parameters(20_000, **options, epoch=epoch).flip for epoch in range(4)]
    for one, other in itertools.pairwise(flips):
        assert (one ^ other).all()
    assert excess(flips[0].int(), 2) < LIMIT
