"""Pad, crop, flip, jitter, cut out and normalise whole batches, with parameters drawn before.

Images are uint8 (N, height, width, channels) until `normalize_batch`, the last step. Every function returns a new
tensor.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Shares of red, green and blue in the grey of an image (ITU-R BT.601).
_GREY = (0.299, 0.587, 0.114)


def pad_batch(images: Tensor, padding: int, *, mode: str = "constant") -> Tensor:
    """Adds `padding` pixels on each side, black (`constant`) or mirrored (`reflect`)."""
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return torch.from_numpy(np.pad(images.numpy(), sides, mode=mode))  # type: ignore[call-overload]


def crop_batch(padded: Tensor, indices: Tensor, *, corners: Tensor, size: int) -> Tensor:
    """Crops a window (size, size) out of each image at `indices` (B,), its top and left in `corners` (B, 2)."""
    windows = _view_windows(np.ascontiguousarray(padded.numpy()), size)
    crops = windows[indices.numpy(), *corners.numpy().T]
    return torch.from_numpy(crops.reshape(-1, size, size, padded.shape[-1]))


def flip_batch(images: Tensor, flip: Tensor) -> Tensor:
    """Flips the images at which `flip` (B,) is true, left to right."""
    chosen = flip.nonzero().flatten()
    # Seen as (B, C, H, W) in channels_last, the case for which torch flips with vector instructions.
    flipped = images.index_select(0, chosen).permute(0, 3, 1, 2).flip(-1).permute(0, 2, 3, 1)
    return images.index_copy(0, chosen, flipped)


def jitter_batch(images: Tensor, brightness: Tensor, *, contrast: Tensor) -> Tensor:
    """Multiplies the pixels of each image by its brightness, and their distance from its mean grey by its contrast.

    Rounded once and clipped to 0 to 255 at the end, so that both changes commute. Up to rounding and clipping in
    between, this is ColorJitter in either of its orders.

    Source: torchvision's `adjust_brightness` and `adjust_contrast`; grey by ITU-R BT.601.
    """
    pixels = images.reshape(len(images), -1, 3).float()
    grey = pixels.mean(dim=1) @ torch.tensor(_GREY)
    factor, offset = brightness * contrast, brightness * (1 - contrast) * grey
    flat = pixels.view(len(images), -1).mul_(factor[:, None]).add_(offset[:, None])
    return flat.round_().clamp_(0, 255).to(torch.uint8).view(images.shape)


def cutout_batch(images: Tensor, corners: Tensor, *, size: int, fill: Sequence[int]) -> Tensor:
    """Fills a square (size, size) of each image, its top and left in `corners` (B, 2), with a colour of C values."""
    result = images.numpy().copy()
    windows = _view_windows(result, size)
    windows[np.arange(len(result)), *corners.numpy().T] = np.tile(np.array(fill, dtype=np.uint8), size)
    return torch.from_numpy(result)


def normalize_batch(images: Tensor, mean: Sequence[float], *, std: Sequence[float]) -> Tensor:
    """Returns (pixel / 255 - mean) / std in float32 (B, 3, H, W), contiguous in torch.channels_last.

    Computed as in Albumentations' Normalize: (pixel - 255 mean) * (1 / (255 std)).

    >>> pixel = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    >>> normalize_batch(pixel, (0.5, 0.2, 0.5), std=(0.5, 0.5, 0.25)).flatten().tolist()
    [-1.0, 0.0, 2.0]
    """
    batch, height, width, _ = images.shape
    pixels = height * width
    # Repeated to whole images: with three values torch's inner loop would have three steps.
    offset = (torch.tensor(mean, dtype=torch.float32) * 255).repeat(pixels)
    factor = (torch.tensor(std, dtype=torch.float32) * 255).reciprocal().repeat(pixels)
    values = images.reshape(batch, -1).float().sub_(offset).mul_(factor)
    return values.view(batch, height, width, 3).permute(0, 3, 1, 2)


def _view_windows(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Returns the view (N, H - size + 1, W - size + 1, size, size * C) of all windows in contiguous images.

    A row of a window is one axis, so that NumPy copies whole rows; torch's index goes byte by byte, 20 times slower.
    """
    count, height, width, channels = images.shape
    image, row, pixel, byte = images.strides
    return np.lib.stride_tricks.as_strided(
        images,
        (count, height - size + 1, width - size + 1, size, size * channels),
        (image, row, pixel, row, byte),
    )
