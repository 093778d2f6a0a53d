"""The augmentation as an Albumentations pipeline, for one image at a time."""

import os
from collections.abc import Sequence
from typing import Any

from cifar_data.augmentation.policy import Augmentation, mean_colour

_UPDATE_CHECK = "NO_ALBUMENTATIONS_UPDATE"


def import_albumentations() -> Any:
    """The module, imported without its question to the network whether a newer version exists."""
    before = os.environ.get(_UPDATE_CHECK)
    os.environ[_UPDATE_CHECK] = "1"
    try:
        import albumentations  # type: ignore[import-untyped]
    finally:
        if before is None:
            del os.environ[_UPDATE_CHECK]
        else:
            os.environ[_UPDATE_CHECK] = before
    return albumentations


def make_pipeline(
    augmentation: Augmentation | None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    size: int = 32,
    flip_probability: float = 0.5,
) -> Any:
    """The Albumentations pipeline of an augmentation; without one, only the normalisation.

    Args:
        augmentation: What to do; its `flip` is not looked at.
        mean: Of the channels, in [0, 1].
        std: Of the channels, in [0, 1].
        size: Side of the images in pixels.
        flip_probability: 0 to 1.

    Returns:
        An `albumentations.Compose` from uint8 (size, size, 3) to a float32 tensor (3, size, size).

    >>> pipeline = make_pipeline(Augmentation(), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    >>> [type(step).__name__ for step in pipeline]
    ['PadIfNeeded', 'RandomCrop', 'HorizontalFlip', 'CoarseDropout', 'Normalize', 'ToTensorV2']
    """
    A = import_albumentations()  # noqa: N806 - the library's own idiom
    steps = []
    if augmentation is not None and augmentation.padding > 0:
        import cv2

        borders = {"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
        side = size + 2 * augmentation.padding
        steps.append(A.PadIfNeeded(side, side, border_mode=borders[augmentation.padding_mode], fill=0))
        steps.append(A.RandomCrop(size, size))
    if augmentation is not None and flip_probability > 0:
        steps.append(A.HorizontalFlip(p=flip_probability))
    if augmentation is not None and augmentation.jitters:
        factors = {
            name: (1 - reach, 1 + reach)
            for name, reach in (("brightness", augmentation.brightness), ("contrast", augmentation.contrast))
        }
        steps.append(A.ColorJitter(**factors, saturation=(1, 1), hue=(0, 0), p=1.0))
    if augmentation is not None and augmentation.cutout > 0:
        side = augmentation.cutout
        steps.append(
            A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(side, side),
                hole_width_range=(side, side),
                fill=mean_colour(mean),
                p=1.0,
            )
        )
    steps.append(A.Normalize(mean=tuple(mean), std=tuple(std)))
    steps.append(A.ToTensorV2())
    return A.Compose(steps)
