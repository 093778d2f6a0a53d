"""Test-time augmentation against NumPy's padding, one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_train.training.tta import tta_logits

pytestmark = pytest.mark.numeric


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.integers(0, 2**16))
@torch.no_grad()
def test_tta_is_the_published_evaluation(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(3 * height * width, 5, generator=generator, dtype=torch.float64)

    def model(augmented):
        # Not linear, or means of images and of logits could not be told apart.
        return torch.tanh(augmented.flatten(1) @ weight)

    def with_mirror_image(pixels):
        copies = (torch.from_numpy(np.ascontiguousarray(copy)) for copy in (pixels, pixels[:, :, ::-1]))
        return [model(copy[None])[0] for copy in copies]

    found = tta_logits(model, images)
    for tta, names in {"none": ["none"], "flip": ["none", "flip"]}.items():
        lesser = tta_logits(model, images, tta=tta)
        assert list(lesser) == names
        assert all(torch.equal(lesser[name], found[name]) for name in names)
    for index, image in enumerate(images.numpy()):
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")
        none, mirrored = with_mirror_image(image)
        shifted = [*with_mirror_image(padded[:, :-2, :-2]), *with_mirror_image(padded[:, 2:, 2:])]
        flip = (none + mirrored) / 2
        expected = {"none": none, "flip": flip, "flip_and_shift": flip / 2 + sum(shifted) / 8}
        ours = {name: logits[index] for name, logits in found.items()}
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
