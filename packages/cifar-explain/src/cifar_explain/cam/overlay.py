"""Heat maps over images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain.validation import check_choice, check_count, check_number


def overlay(
    image: NDArray[np.uint8],
    heat: NDArray[np.floating],
    *,
    opacity: float = 0.5,
    colormap: str = "inferno",
    scale: int = 1,
) -> NDArray[np.uint8]:
    """Returns `(1 - opacity) * image + opacity * colours of the heat map`, uint8 `(scale * H, scale * W, 3)`.

    The image is uint8 RGB `(H, W, 3)`, the map `(h, w)` in [0, 1] of any size; opacity 0 is the image to the bit, 1 the
    map alone, in a colour map of Matplotlib's. The whole factor `scale` upsamples the image with square pixels, the map
    smoothly.
    """
    share = check_number("opacity", opacity, "from 0 (the image) to 1 (the map)", lambda x: 0 <= x <= 1)
    below = upsample_image(image, scale)
    colours = heat_colours(upsample_map(heat, (below.shape[0], below.shape[1])), colormap)
    return np.rint((1 - share) * below + share * colours).astype(np.uint8)


def upsample_image(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Returns a uint8 RGB image `(H, W, 3)` with each pixel repeated `scale` times both ways."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"image must be uint8 (H, W, 3), got {array.dtype} {array.shape}")
    factor = check_count("scale", scale)
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def upsample_map(heat: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns a map `(h, w)` in [0, 1] resized bilinearly to `size`, (height, width); it stays in [0, 1].

    >>> upsample_map(np.array([[0.0, 1.0]]), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    values = _as_heat(heat)
    if values.shape == tuple(size):
        return values
    resized = Image.fromarray(values).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized), 0, 1)


def heat_colours(heat: NDArray[np.floating], colormap: str = "inferno") -> NDArray[np.uint8]:
    """Returns the colours `(h, w, 3)`, uint8, of a map `(h, w)` in [0, 1]."""
    # Imported when first needed, so that importing the package stays quick.
    import matplotlib

    colormaps: Any = matplotlib.colormaps
    check_choice("colormap", colormap, colormaps)
    colours: NDArray[np.uint8] = colormaps[colormap](_as_heat(heat), bytes=True)
    return colours[..., :3]


def _as_heat(heat: NDArray[np.floating]) -> NDArray[np.float32]:
    array = np.asarray(heat)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise ValueError(f"heat must be numbers (h, w), got {array.dtype} {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"heat must be in [0, 1], got values from {array.min()} to {array.max()}")
    return array.astype(np.float32)
