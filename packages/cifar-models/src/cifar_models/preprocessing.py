"""The input contract of a model: its classes, and how any image becomes the tensor it expects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from cifar_models.preprocessing_image import to_rgb
from cifar_models.validation import check_int


@dataclass(frozen=True)
class InputSpec:
    """What a model was trained on, and the one preprocessing that every use of it shares.

    Attributes:
        classes: Two or more class names, in the order of the logits.
        mean: Mean of each colour channel (R, G, B), on the scale where black is 0 and white is 1.
        std: Standard deviation of each colour channel on that scale, from 1e-6 to 1.
        size: Width and height of the images in pixels, from 16 to 1024.

    Raises:
        ValueError: If a value is not allowed.
    """

    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        # Outside of these bounds float32 could not give back each of the 256 levels of a byte.
        object.__setattr__(self, "mean", _checked_channels("mean", self.mean, low=0.0, high=1.0))
        object.__setattr__(self, "std", _checked_channels("std", self.std, low=1e-6, high=1.0))
        check_int("size", self.size, minimum=16, maximum=1024)

    def to_image(self, image: Image.Image | NDArray[np.uint8]) -> Image.Image:
        """Return the RGB image of `size` x `size` pixels that the model will see.

        The image's first frame is turned upright (EXIF) and made opaque RGB (transparent parts turn white),
        then scaled and centre-cropped by `PIL.ImageOps.fit` with bicubic interpolation. An upright RGB image
        of the right size passes unchanged.

        Args:
            image: A PIL image of any mode and size, or a uint8 array (H, W), (H, W, 1), (H, W, 3), (H, W, 4).

        Raises:
            TypeError: If it is neither of these.
            ValueError: If the array's dtype or shape is another, or the image has no pixels.
            OSError: If the image's file is damaged.

        >>> CIFAR10.to_image(Image.new("L", (640, 480))).size
        (32, 32)
        """
        return ImageOps.fit(to_rgb(image), (self.size, self.size), method=Image.Resampling.BICUBIC)

    def preprocess(self, image: Image.Image | NDArray[np.uint8]) -> Tensor:
        """Return `to_image(image)` normalised: float32 `(3, size, size)`. Raises as `to_image` does.

        >>> CIFAR10.preprocess(Image.new("RGBA", (640, 480))).shape
        torch.Size([3, 32, 32])
        """
        return self.preprocess_batch([image])[0]

    def preprocess_batch(self, images: Sequence[Image.Image | NDArray[np.uint8]]) -> Tensor:
        """Return `preprocess` of each image, stacked: float32 `(N, 3, size, size)`; N may be 0.

        Raises as `to_image` does.

        >>> CIFAR10.preprocess_batch([Image.new("L", (9, 9)), Image.new("CMYK", (50, 70))]).shape
        torch.Size([2, 3, 32, 32])
        """
        pixels = np.empty((len(images), self.size, self.size, 3), dtype=np.uint8)
        for row, image in zip(pixels, images, strict=True):
            row[:] = np.asarray(self.to_image(image))
        return self.normalize(pixels)

    def normalize(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """Return `(images / 255 - mean) / std` as float32 `(N, 3, H, W)` in channels_last, on the images' device.

        Args:
            images: uint8 array or tensor (N, H, W, 3).

        Raises:
            TypeError: If it is neither array nor tensor.
            ValueError: If its dtype or shape is another.

        >>> CIFAR10.normalize(np.zeros((1, 32, 32, 3), dtype=np.uint8))[0, :, 0, 0]
        tensor([-1.9892, -1.9802, -1.7070])
        """
        if not isinstance(images, np.ndarray | Tensor):
            raise TypeError(f"images must be a numpy array or a tensor, got {type(images).__name__}")
        byte: Any = np.uint8 if isinstance(images, np.ndarray) else torch.uint8
        if images.dtype != byte or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                "images must be uint8 of shape (N, H, W, 3), "
                f"got {images.dtype} of shape {tuple(images.shape)}"
            )
        # np.array copies: a memory map is read-only, which torch warns about, and views may be reversed.
        pixels = torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images
        offset, scale = self._affine(pixels.device)
        # (N, H, W, 3) -> (N, 3, H, W); the memory stays in its order, which is also the quickest for convolutions.
        channels_first = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
        return channels_first.sub_(offset).div_(scale)

    def denormalize(self, images: Tensor) -> Tensor:
        """Return normalised images as the uint8 pixels they came from, `(N, H, W, 3)`: `normalize` undone.

        Values between two levels are rounded, values beyond black and white are clipped.

        Args:
            images: Floating-point tensor (N, 3, H, W).

        Raises:
            ValueError: If the dtype or shape is another, or a value is NaN.

        >>> pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 4, 4, 3)
        >>> torch.equal(CIFAR10.denormalize(CIFAR10.normalize(pixels)), pixels)
        True
        """
        if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                "images must be floating-point of shape (N, 3, H, W), "
                f"got {images.dtype} of shape {tuple(images.shape)}"
            )
        if images.isnan().any():
            raise ValueError("images must be numbers, got NaN among them")
        offset, scale = self._affine(images.device)
        levels = images.detach().to(torch.float32).mul(scale).add_(offset).round_().clamp_(0, 255)
        # (N, 3, H, W) -> (N, H, W, 3)
        return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON.

        >>> InputSpec.from_dict(CIFAR10.to_dict()) == CIFAR10
        True
        """
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpec":
        """Return the InputSpec that `to_dict` described.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.

        >>> InputSpec.from_dict({**CIFAR10.to_dict(), "size": 8})
        Traceback (most recent call last):
            ...
        ValueError: size must be an int from 16 to 1024, got 8
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            found = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(f"an input spec must have exactly the keys {names}, got {found}")
        return cls(**values)

    def _affine(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation on the scale of bytes, each (3, 1, 1), in float32."""
        both = torch.tensor([self.mean, self.std], dtype=torch.float64).mul_(255)
        offset, scale = both.to(device=device, dtype=torch.float32).reshape(2, 3, 1, 1)
        return offset, scale


def _checked_classes(classes: object) -> tuple[str, ...]:
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    usable = all(isinstance(name, str) and name.strip() and name.isprintable() for name in names)
    if not usable or len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"classes must be two or more different, printable names, got {classes!r}")
    return names


def _checked_channels(name: str, values: object, *, low: float, high: float) -> tuple[float, ...]:
    numbers = tuple(values) if isinstance(values, list | tuple) else ()
    usable = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    if not usable or len(numbers) != 3 or not all(low <= v <= high for v in numbers):
        raise ValueError(f"{name} must be 3 numbers from {low:g} to {high:g}, got {values!r}")
    return tuple(map(float, numbers))


#: CIFAR-10: class names in the order of their labels; mean and standard deviation over the 50,000 training
#: images. Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009 (the classes);
#: computed from all training pixels on the scale of bytes, rounded to 8 decimals (mean and std).
CIFAR10 = InputSpec(
    classes=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    mean=(125.30691805 / 255, 122.95039414 / 255, 113.86538318 / 255),
    std=(62.99321928 / 255, 62.08870764 / 255, 66.70489964 / 255),
    size=32,
)  # fmt: skip
