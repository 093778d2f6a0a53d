"""Overlays: exact at both ends, monotone between, and upsampled as promised."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cifar_explain import heat_colours, overlay, upsample_image, upsample_map

photos = arrays(np.uint8, (3, 4, 3))
heats = arrays(np.float32, (2, 2), elements=st.floats(0, 1, width=32))
opacities = st.floats(0, 1)


@given(photos, heats, opacities, opacities)
def test_every_pixel_moves_from_photo_to_map_without_a_jump(photo, heat, one, other):
    low, high = sorted([one, other])
    before = photo.copy(), heat.copy()
    near, far, pure = (overlay(photo, heat, opacity=opacity).astype(int) for opacity in (low, high, 1))
    assert (abs(far - pure) <= abs(near - pure)).all()
    assert abs(far - near).max() <= 255 * (high - low) + 1
    np.testing.assert_array_equal(overlay(photo, heat, opacity=0), photo)
    np.testing.assert_array_equal(pure, heat_colours(upsample_map(heat, (3, 4))))
    assert overlay(photo, heat, scale=2).shape == (6, 8, 3)
    for argument, copied in zip((photo, heat), before, strict=True):
        np.testing.assert_array_equal(argument, copied)


@given(photos, heats, st.integers(2, 9), st.integers(2, 9))
def test_maps_are_upsampled_smoothly_and_images_with_square_pixels(photo, heat, height, width):
    batch = torch.from_numpy(heat)[None, None]
    expected = torch.nn.functional.interpolate(batch, (height, width), mode="bilinear")
    np.testing.assert_allclose(upsample_map(heat, (height, width)), expected[0, 0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(upsample_image(photo, 3), np.kron(photo, np.ones((3, 3, 1), np.uint8)))


@pytest.mark.parametrize("name", ["inferno", "gray"])
def test_colours_are_matplotlibs(name):
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(heat_colours(np.linspace(0, 1, 256)[None], name)[0], expected)
