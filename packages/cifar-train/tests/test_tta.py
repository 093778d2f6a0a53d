"""Test-time augmentation against loops over pixels, one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_train.training.tta import tta_logits

pytestmark = pytest.mark.numeric


def reflected(index, size):
    return -index if index < 0 else 2 * (size - 1) - index if index >= size else index


def shifted(image, by):
    """Pixel (y, x) of the result is pixel (y + by, x + by) of the image, which goes on mirrored at its border."""
    _, height, width = image.shape
    rows = [reflected(y + by, height) for y in range(height)]
    columns = [reflected(x + by, width) for x in range(width)]
    return image[:, rows][:, :, columns]


def brute_force(model, image):
    def both(pixels):
        copies = np.ascontiguousarray(pixels), np.ascontiguousarray(pixels[:, :, ::-1])
        return [model(torch.from_numpy(copy)[None])[0] for copy in copies]

    none, mirrored = both(image)
    shifts = [*both(shifted(image, -1)), *both(shifted(image, 1))]
    flip = (none + mirrored) / 2
    return none, flip, flip / 2 + sum(shifts) / 8


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.integers(0, 2**16))
@torch.no_grad()
def test_tta_is_the_published_evaluation(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 3 * height * width, generator=generator, dtype=torch.float64)

    def model(augmented):
        # Not linear, or means of images and of logits could not be told apart.
        return torch.tanh(augmented.flatten(1) @ weight.T)

    found = tta_logits(model, images)
    for index, image in enumerate(images.numpy()):
        for ours, oracle in zip(found.values(), brute_force(model, image), strict=True):
            torch.testing.assert_close(ours[index], oracle, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("tta", "passes"), [("none", 1), ("flip", 2), ("flip_and_shift", 6)])
@torch.no_grad()
def test_lesser_tta_takes_fewer_passes_and_gives_the_same_logits(tta, passes):
    images, shapes = torch.rand(2, 3, 8, 8), []
    before = images.clone()

    def model(augmented):
        shapes.append(augmented.shape)
        return augmented.mean((2, 3))

    found = tta_logits(model, images, tta=tta)
    assert shapes == [images.shape] * passes
    assert torch.equal(images, before)
    everything = tta_logits(model, images)
    assert list(found) == list(everything)[: len(found)]
    assert list(found)[-1] == tta
    for name, value in found.items():
        assert torch.equal(value, everything[name])
