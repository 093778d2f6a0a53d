"""Test-time augmentation against loops over pixels, one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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


def mirrored(image):
    return image[:, :, ::-1]


def brute_force(model, image):
    def logits(view):
        return model(torch.from_numpy(np.ascontiguousarray(view))[None])[0]

    flip = 0.5 * logits(image) + 0.5 * logits(mirrored(image))
    crops = [shifted(image, by) for by in (-1, 1)]
    shifts = [0.5 * logits(crop) + 0.5 * logits(mirrored(crop)) for crop in crops]
    return logits(image), flip, 0.5 * flip + 0.5 * (shifts[0] + shifts[1]) / 2


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.integers(0, 2**16))
@torch.no_grad()
def test_tta_is_the_published_evaluation(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 3 * height * width, generator=generator, dtype=torch.float64)

    def model(views):
        # Not linear, or means of views and of logits could not be told apart.
        return torch.tanh(views.flatten(1) @ weight.T)

    found = tta_logits(model, images)
    for index, image in enumerate(images.numpy()):
        for ours, oracle in zip(found.values(), brute_force(model, image), strict=True):
            torch.testing.assert_close(ours[index], oracle, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_flip_and_shift_takes_six_passes_and_leaves_the_images():
    shapes, images = [], torch.rand(2, 3, 32, 32)
    before = images.clone()

    class Model(nn.Module):
        def forward(self, views):
            shapes.append(views.shape)
            return views.mean((2, 3))

    tta_logits(Model(), images)
    assert shapes == [(2, 3, 32, 32)] * 6
    assert torch.equal(images, before)


@torch.no_grad()
def test_uniform_images_have_the_same_logits_with_and_without_tta():
    even = torch.ones(1, 3, 8, 8) * torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1)
    logits = tta_logits(lambda views: views.mean((2, 3)), even)
    torch.testing.assert_close(logits["flip"], logits["none"])
    torch.testing.assert_close(logits["flip_and_shift"], logits["none"])


@pytest.mark.parametrize(("tta", "passes"), [("none", 1), ("flip", 2), ("flip_and_shift", 6)])
@torch.no_grad()
def test_lesser_tta_takes_fewer_passes_and_gives_the_same_logits(tta, passes):
    images, seen = torch.rand(2, 3, 8, 8), []

    def model(view):
        seen.append(1)
        return view.mean((2, 3))

    found = tta_logits(model, images, tta=tta)
    assert len(seen) == passes
    everything = tta_logits(model, images)
    assert list(found) == list(everything)[: len(found)]
    assert list(found)[-1] == tta
    for name, value in found.items():
        assert torch.equal(value, everything[name])
