"""The input contract of a model: its classes, and the conversion of any image to the tensor it expects."""

import struct
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor

from cifar_models.validation import check_int, shortened

# Transposition for each EXIF orientation. Source: EXIF 2.3, table 4 (tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class InputSpec:
    """Class names and preprocessing of a model, shared by training, evaluation and app.

    Attributes:
        classes: Two or more class names, in the order of the logits.
        mean: Mean of each colour channel (R, G, B), on the scale where black is 0 and white is 1.
        std: Standard deviation of each colour channel on that scale, from 1e-6 to 1.
        size: Width and height of the images in pixels, from 16 to 1024.
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
        """Returns an image as the model sees it: RGB of `size` x `size` pixels.

        Takes a PIL image of any mode and size, or a uint8 array (H, W), (H, W, 1), (H, W, 3), (H, W, 4). Its first
        frame is turned upright (EXIF) and made opaque RGB (transparent parts turn white), then scaled and cropped to
        the centre by `PIL.ImageOps.fit`, bicubically. An upright RGB image of the right size passes unchanged.
        Damaged EXIF data is ignored with a warning; a damaged file is an OSError.
        """
        return ImageOps.fit(_to_rgb(image), (self.size, self.size), method=Image.Resampling.BICUBIC)

    def preprocess(self, image: Image.Image | NDArray[np.uint8]) -> Tensor:
        """Returns `to_image(image)` normalised, float32 `(3, size, size)`."""
        return self.preprocess_batch([image])[0]

    def preprocess_batch(self, images: Sequence[Image.Image | NDArray[np.uint8]]) -> Tensor:
        """Returns `preprocess` of each image, stacked to float32 `(N, 3, size, size)`; N may be 0."""
        pixels = np.array([np.asarray(self.to_image(image)) for image in images], dtype=np.uint8)
        return self.normalize(pixels.reshape(-1, self.size, self.size, 3))

    def normalize(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """Returns `(images / 255 - mean) / std` of uint8 `(N, H, W, 3)`: float32 `(N, 3, H, W)` in channels_last.

        >>> CIFAR10.normalize(np.zeros((1, 32, 32, 3), dtype=np.uint8))[0, :, 0, 0]
        tensor([-1.9892, -1.9802, -1.7070])
        """
        if not isinstance(images, np.ndarray | Tensor):
            raise TypeError(f"images must be a numpy array or a tensor, got {type(images).__name__}")
        byte: Any = np.uint8 if isinstance(images, np.ndarray) else torch.uint8
        if images.dtype != byte or images.ndim != 4 or images.shape[3] != 3:
            got = f"{images.dtype} of shape {tuple(images.shape)}"
            raise ValueError(f"images must be uint8 of shape (N, H, W, 3), got {got}")
        # np.array copies: a memory map is read-only, which torch warns about, and views may be reversed.
        pixels = torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images
        offset, scale = self._affine(pixels.device)
        # (N, H, W, 3) -> (N, 3, H, W); the memory stays in its order, which is also the quickest for convolutions.
        channels_first = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
        return channels_first.sub_(offset).div_(scale)

    def denormalize(self, images: Tensor) -> Tensor:
        """Inverts `normalize`: returns uint8 pixels `(N, H, W, 3)`, rounded and clipped to 0 to 255."""
        if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
            got = f"{images.dtype} of shape {tuple(images.shape)}"
            raise ValueError(f"images must be floating-point of shape (N, 3, H, W), got {got}")
        if images.isnan().any():
            raise ValueError("images must be numbers, got NaN among them")
        offset, scale = self._affine(images.device)
        levels = images.detach().to(torch.float32).mul(scale).add_(offset).round_().clamp_(0, 255)
        return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain lists and numbers, ready for JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpec":
        """Inverts `to_dict`; a missing or unknown key or a value that is not allowed is a ValueError."""
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise ValueError(f"an input spec must have exactly the keys {names}, got {shortened(values)}")
        return cls(**values)

    def _affine(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation on the scale of bytes, each (3, 1, 1), in float32."""
        both = torch.tensor([self.mean, self.std], dtype=torch.float64).mul_(255)
        offset, scale = both.to(device=device, dtype=torch.float32).reshape(2, 3, 1, 1)
        return offset, scale


def _checked_classes(classes: object) -> tuple[str, ...]:
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    usable = all(isinstance(name, str) and _is_printable(name) for name in names)
    # In Unicode's form NFC, names that look alike are equal.
    if not usable or len({unicodedata.normalize("NFC", name) for name in names}) < max(len(names), 2):
        raise ValueError(f"classes must be two or more different, printable names, got {classes!r}")
    return names


def _is_printable(name: str) -> bool:
    # str.isprintable rejects joiners and marks that emoji and words of many languages are written with. Harmful are
    # control characters, halves of characters, line breaks, and marks that reverse the text after them.
    kinds = {unicodedata.category(character) for character in name}
    directions = {unicodedata.bidirectional(character) for character in name}
    harmful = kinds & {"Cc", "Cs", "Zl", "Zp"} or directions & {"LRE", "RLE", "LRO", "RLO"}
    return not harmful and any(kind[0] not in "CZ" for kind in kinds)


def _checked_channels(name: str, values: object, *, low: float, high: float) -> tuple[float, ...]:
    numbers = tuple(values) if isinstance(values, list | tuple) else ()
    usable = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    if not usable or len(numbers) != 3 or not all(low <= v <= high for v in numbers):
        raise ValueError(f"{name} must be 3 numbers from {low:g} to {high:g}, got {values!r}")
    return tuple(map(float, numbers))


def _to_rgb(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim < 2 or image.shape[2:] not in ((), (1,), (3,), (4,)):
            allowed = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
            raise ValueError(f"image must be uint8 {allowed}, got {image.dtype} of shape {image.shape}")
        image = Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image)
    elif not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image or a uint8 numpy array, got {type(image).__name__}")
    if 0 in image.size:
        raise ValueError(f"image must have at least one pixel, got the size {image.size}")
    return _opaque(_upright(_first_frame(image)))


def _first_frame(image: Image.Image) -> Image.Image:
    if (position := image.tell()) == 0:
        return image
    try:
        image.seek(0)
        return image.copy()
    finally:
        image.seek(position)  # the caller's image stays where it was


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose, which also rewrites the EXIF block and raises where it is damaged.
    image.load()  # a TIFF is turned while loading, and loses its orientation tag then
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, struct.error, ValueError) as error:  # what Pillow raises on damaged EXIF
        warnings.warn(f"image has unreadable EXIF data, its orientation is ignored: {error}", stacklevel=5)
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return cast("Image.Image", ImageCms.profileToProfile(image, *profiles, outputMode="RGB"))
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):  # premultiplied: Pillow converts these to their plain form only
            image = image.convert(image.mode[:-1] + "A")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Returns a grey image of more than 8 bits as mode "L", scaled instead of clipped.

    "I;16" counts from 0 to 65535. "I" and "F" do not tell their range, so white is the first of 1 (only "F"),
    255 (Pillow's own convention) and 65535 that no value exceeds.
    """
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # also true of NaN
        raise ValueError(f"image of mode {image.mode} must have values from 0 to 65535, got {low} to {high}")
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    white = next(white for white in whites if high <= white)
    grey = np.rint(values * (255 / white)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # a PNG may declare one grey value transparent
        grey[values == transparent] = 255
    return Image.fromarray(grey)


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
