"""Reading uploaded files: an image of bounded size, or a reason in plain words."""

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from pillow_heif import register_heif_opener

from cifar_models import InputSpec
from cifar_space.service.requests import Limits

#: The formats that are read. Pillow knows more, but each decoder is one more way in for a hostile file.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")

register_heif_opener()

# Texts in which a PNG may say how to turn it upright.
_ORIENTING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")

# What Pillow's readers of these formats raise on damaged files, as fuzzing shows.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, EOFError, RuntimeError, struct.error
)  # fmt: skip


class PictureError(ValueError):
    """A file that is no readable image; the message says why, without the file's name."""


def read_picture(path: str | os.PathLike[str], spec: InputSpec, *, limits: Limits) -> Image.Image:
    """Returns the image in a file as the network's input: RGB, `spec.size` x `spec.size` pixels.

    Of an animation it is the first frame. The content counts, not the name. The limits are checked before decoding.

    Raises:
        PictureError: If there is no such file, it is too large, no image, or damaged.

    >>> from cifar_models import CIFAR10
    >>> from cifar_space.artifacts.files import example_paths
    >>> read_picture(example_paths()[0], CIFAR10, limits=Limits())
    <PIL.Image.Image image mode=RGB size=32x32 at ...>
    """
    path = Path(path)
    _check_file(path, limits)
    try:
        return _decode(path, spec, limits)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"The image has more than {_mega(limits.pixels)} million pixels.") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"This is not a readable image ({', '.join(FORMATS)}).") from error
    except _DAMAGE as error:
        raise PictureError("The image is damaged or incomplete.") from error


def _decode(path: Path, spec: InputSpec, limits: Limits) -> Image.Image:
    # Of texts and colour profile Pillow reads 1 MiB each; beyond that, the image is read without them.
    source: Path | BinaryIO = path
    for kept in (_ORIENTING, ()):
        try:
            return _open(source, spec, limits)
        except ValueError as error:
            if "MAX_TEXT_" not in str(error):
                raise
        source = io.BytesIO(_without_texts(path.read_bytes(), kept=kept))
    return _open(source, spec, limits)


def _open(source: Path | BinaryIO, spec: InputSpec, limits: Limits) -> Image.Image:
    with Image.open(source, formats=FORMATS) as image:
        _check_pixels(image.size, limits)
        return spec.to_image(image)


def _without_texts(data: bytes, *, kept: tuple[bytes, ...]) -> bytes:
    """Returns a PNG without its colour profile and its texts, except those that begin with one of the kept keywords."""
    left, start = data[:8], 8
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        is_text = data[start + 4 : start + 8] in (b"iCCP", b"iTXt", b"tEXt", b"zTXt")
        if not is_text or data[start + 8 : end].startswith(kept):
            left += data[start:end]
        start = end
    return left


def _check_file(path: Path, limits: Limits) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise PictureError("The file is not there any more; add it again.") from error
    if not path.is_file():
        raise PictureError("This is not a file.")
    if size == 0:
        raise PictureError("The file is empty.")
    if size > limits.file_bytes:
        raise PictureError(f"The file has more than {limits.file_bytes / 2**20:g} MiB.")


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise PictureError(
            f"The image has {width:,} by {height:,} pixels, more than {_mega(limits.pixels)} million."
        )


def _mega(number: int) -> str:
    return f"{number / 1e6:g}"
