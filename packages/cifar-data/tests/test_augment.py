import itertools

import numpy as np
import pytest
import torch

from cifar_data.augmentation.policy import Augmentation, draw_parameters

COUNT = 20_000


def excess(counts: np.ndarray) -> float:
    """Chi-square of the counts against equal ones, in standard deviations above its mean."""
    freedom = len(counts) - 1
    statistic = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    return (statistic - freedom) / np.sqrt(2 * freedom)


def joint(*columns: torch.Tensor) -> np.ndarray:
    return np.unique(np.stack([column.numpy() for column in columns]), axis=1, return_counts=True)[1]


def test_the_parameters_of_an_image_are_independent_of_each_other():
    drawn = draw_parameters(COUNT, Augmentation(padding=1, cutout=30), seed=0, epoch=0)
    cells = joint(*drawn.crop.T, *drawn.hole.T, drawn.flip)
    assert len(cells) == 3**4 * 2
    assert excess(cells) < 4


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_factors_are_uniform_around_one_and_independent(name):
    drawn = draw_parameters(COUNT, Augmentation(brightness=0.2, contrast=0.2), seed=0, epoch=0)
    factors = getattr(drawn, name)
    assert factors.dtype == torch.float32
    cells = ((factors - 0.8) / 0.4 * 10).long()
    assert len(joint(cells)) == 10
    assert excess(joint(cells)) < 4
    assert abs(np.corrcoef(drawn.brightness, drawn.contrast)[0, 1]) < 4 / COUNT**0.5
    assert (getattr(draw_parameters(9, Augmentation(), seed=0, epoch=0), name) == 1).all()


def test_epochs_and_seeds_have_draws_of_their_own():
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    crops = [draw_parameters(1000, Augmentation(), seed=seed, epoch=epoch).crop for seed, epoch in keys]
    for one in range(4):
        for other in range(one):
            # Of independent pairs of 81 places 1 in 81 is equal: 12 of 1000 expected, 40 are 8 deviations.
            assert (crops[one] == crops[other]).all(dim=1).sum() < 40


def test_one_kind_of_parameter_does_not_shift_another():
    full = draw_parameters(100, Augmentation(), seed=0, epoch=0)
    plain = draw_parameters(100, Augmentation(flip="none", cutout=0), seed=0, epoch=0)
    assert torch.equal(full.crop, plain.crop)
    assert not plain.flip.any()


def test_alternating_flips_show_both_sides_in_any_two_consecutive_epochs():
    augmentation = Augmentation(flip="alternate")
    flips = [draw_parameters(COUNT, augmentation, seed=0, epoch=epoch).flip for epoch in range(4)]
    for one, other in itertools.pairwise(flips):
        assert (one ^ other).all()
    assert excess(joint(flips[0])) < 4


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *(("padding", value, f"a whole number from 0 to 31, got {value}") for value in (-1, 32, 1.5)),
        ("cutout", 33, "a whole number from 0 to 32, got 33"),
        ("padding_mode", "reflection", "one of constant, reflect, .* did you mean reflect"),
        ("flip", True, "one of random, alternate, none, got True"),
        ("contrast", 1, "a number from 0 to below 1, got 1"),
        *(("brightness", value, "a number from 0 to below 1") for value in (-0.1, float("nan"), "0.1")),
    ],
)
def test_a_field_out_of_range_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"data.augmentation.{field} must be {message}"):
        Augmentation(**{field: value})
