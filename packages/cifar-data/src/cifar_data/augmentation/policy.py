"""The augmentation policy, and the random parameters of each image and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cifar_data.seeding import derive_generator
from cifar_data.validation import check_choice, check_integer, check_share


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images. The defaults are those of Page's DAWNBench entry.

    Attributes:
        padding: Pixels added on each side before a random window of the original size is cropped, 0 (no crop) to 31.
        padding_mode: Value of the added pixels: `constant` (black) or `reflect` (mirrored, border not repeated).
        flip: Horizontal flip: `random` (each image and epoch with probability 1/2), `alternate`
            (a random half in the first epoch, the other half in the next, and so on) or `none`.
        cutout: Side in pixels of the square hole, wholly inside the image and filled with the training set's mean
            colour, 0 (no hole) to 32.
        brightness: Largest change of the pixels' factor, in [0, 1): 0.1 = 0.9 to 1.1 times as bright.
        contrast: Largest change of the factor of a pixel's distance from the image's mean grey, in [0, 1).

    Source: D. Page, "How to train your ResNet", 2018; T. DeVries and G. Taylor, arXiv:1708.04552 (CutOut);
        K. Jordan, arXiv:2404.00498 (alternating flip); brightness and contrast as torchvision's and
        Albumentations' ColorJitter have them.
    """

    padding: int = 4
    padding_mode: str = "constant"
    flip: str = "random"
    cutout: int = 8
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        check_integer("data.augmentation.padding", self.padding, low=0, high=31)
        check_choice("data.augmentation.padding_mode", self.padding_mode, allowed=("constant", "reflect"))
        check_choice("data.augmentation.flip", self.flip, allowed=("random", "alternate", "none"))
        check_integer("data.augmentation.cutout", self.cutout, low=0, high=32)
        check_share("data.augmentation.brightness", self.brightness)
        check_share("data.augmentation.contrast", self.contrast)

    @property
    def jitters(self) -> bool:
        """True if brightness or contrast are varied."""
        return self.brightness > 0 or self.contrast > 0


#: Images as they are.
NO_AUGMENTATION = Augmentation(padding=0, flip="none", cutout=0)


class AugmentationParameters(NamedTuple):
    """The random parameters of N images.

    Attributes:
        crop: (N, 2) int64, top and left of the window in the padded image, each 0 to 2 * padding.
        flip: (N,) bool, whether the window is flipped.
        hole: (N, 2) int64, top and left of the hole in the flipped window, each 0 to 32 - cutout.
        brightness: (N,) float32, factor of the pixels.
        contrast: (N,) float32, factor of their distance from the image's mean grey.
    """

    crop: Tensor
    flip: Tensor
    hole: Tensor
    brightness: Tensor
    contrast: Tensor


def alternating_flips(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.bool_]:
    """Returns which of `count` images to flip, so that any two consecutive epochs show both sides of each.

    Source: K. Jordan, arXiv:2404.00498, section 3.6.
    """
    first = derive_generator(seed, "side").integers(0, 2, count)
    return (first + epoch) % 2 == 1


def draw_parameters(
    count: int, augmentation: Augmentation, *, seed: int, epoch: int, size: int = 32
) -> AugmentationParameters:
    """Draws the parameters of `count` images of `size` x `size` pixels for one epoch.

    Each kind of parameter has its own stream, so that switching one off leaves the others as they were. All are
    uniform, as in Albumentations' RandomCrop, HorizontalFlip, CoarseDropout and ColorJitter.
    """
    crop = derive_generator(seed, "crop", epoch).integers(0, 2 * augmentation.padding + 1, (count, 2))
    hole = derive_generator(seed, "hole", epoch).integers(0, size - augmentation.cutout + 1, (count, 2))
    if augmentation.flip == "random":
        flip = derive_generator(seed, "flip", epoch).integers(0, 2, count) == 1
    elif augmentation.flip == "alternate":
        flip = alternating_flips(count, seed=seed, epoch=epoch)
    else:
        flip = np.zeros(count, dtype=np.bool_)
    brightness, contrast = (
        derive_generator(seed, name, epoch).uniform(1 - reach, 1 + reach, count).astype(np.float32)
        for name, reach in (("brightness", augmentation.brightness), ("contrast", augmentation.contrast))
    )
    return AugmentationParameters(*map(torch.from_numpy, (crop, flip, hole, brightness, contrast)))


def mean_colour(mean: Sequence[float]) -> tuple[int, ...]:
    """Returns the colour nearest to a mean of [0, 1] per channel, in whole steps of 0 to 255."""
    return tuple(round(255 * value) for value in mean)
