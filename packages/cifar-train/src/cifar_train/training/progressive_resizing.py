"""Progressive resizing: smaller images in the first part of a run, at a fraction of the cost."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cifar_train.formatting import check


@dataclass(frozen=True)
class LowResolution:
    """The part of a run on smaller images, and their size.

    Args:
        until: Share of all steps, in [0, 1]. 0 trains at full resolution throughout.
        size: Side of the smaller images in pixels, at least 16.

    Source:
        J. Howard et al., fast.ai's entry to DAWNBench (2018): progressive resizing.

    >>> LowResolution(until=0.5, size=24).side(0.25), LowResolution(until=0.5, size=24).side(0.5)
    (24, None)
    """

    until: float = 0.0
    size: int = 24

    def __post_init__(self) -> None:
        check(0 <= self.until <= 1, "model.low_resolution.until", self.until, "in [0, 1]")
        # Below that the networks have no pixel left to pool.
        check(self.size >= 16, "model.low_resolution.size", self.size, "at least 16")

    def side(self, progress: float) -> int | None:
        """Returns the side in pixels after a share ``progress`` of all steps; None for the full size."""
        return self.size if progress < self.until else None


def shrink(images: Tensor, side: int) -> Tensor:
    """Returns images ``(N, C, H, W)`` downsampled to ``(N, C, side, side)``, channels-last; smaller ones unchanged.

    >>> shrink(torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]]), 1).item()
    3.0
    """
    if max(images.shape[2:]) <= side:
        return images
    smaller = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return smaller.contiguous(memory_format=torch.channels_last)
