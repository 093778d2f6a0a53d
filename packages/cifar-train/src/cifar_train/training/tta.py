"""Test-time augmentation: the logits of several views of an image, averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

#: How many views of an image are judged: itself; and its mirror image; and both shifted two ways.
Views = Literal["plain", "flip", "flip_and_shift"]

# Pixels that an image is shifted by, down and right or up and left.
_SHIFT = 1


def view_logits(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    views: Views = "flip_and_shift",
    model_of_shifts: Callable[[Tensor], Tensor] | None = None,
) -> dict[Views, Tensor]:
    """The logits of images by one, two and six views, each forward pass used for all that need it.

    Args:
        model: Gives logits ``(N, K)``; an `nn.Module` must be in eval mode already.
        images: Normalised images ``(N, C, H, W)`` of at least 2x2 pixels. A shifted image is filled up at its
            border by reflection.
        views: The most views to judge.
        model_of_shifts: Judges the shifted views, such as the same model in a quicker number format; `model` if not
            given.

    Returns:
        Logits ``(N, K)`` by name: ``plain``, of the image alone; ``flip``, the mean over the image and its mirror
        image; ``flip_and_shift``, half of that and half of the mean over two diagonal shifts and their mirror
        images. Only those up to ``views``.

    Source:
        K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498), multi-crop evaluation:
        the views and weights that the public speed records are judged with.

    >>> import torch
    >>> logits = view_logits(lambda views: views[:, :, 0, 0], torch.arange(9.0).reshape(1, 1, 3, 3))
    >>> {name: value.item() for name, value in logits.items()}
    {'plain': 0.0, 'flip': 1.0, 'flip_and_shift': 2.5}
    """
    plain = model(images)
    results: dict[Views, Tensor] = {"plain": plain}
    if views == "plain":
        return results
    flip = results["flip"] = (plain + model(images.flip(3))) / 2
    if views == "flip":
        return results
    height, width = images.shape[2:]
    padded = F.pad(images, (_SHIFT,) * 4, mode="reflect")
    end = 2 * _SHIFT
    judge = model_of_shifts or model
    shifted = sum(
        judge(view) + judge(view.flip(3))
        for view in (padded[:, :, :height, :width], padded[:, :, end:, end:])
    )
    results["flip_and_shift"] = flip / 2 + shifted / 8
    return results
