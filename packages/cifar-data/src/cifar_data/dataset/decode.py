"""Encoded images to arrays of 32x32 RGB pixels, on all cores and with a progress bar."""

import contextlib
import io
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm  # type: ignore[import-untyped]

from cifar_data.dataset.arrays import SIDE, DataError

_CHUNK = 128  # images per task: few enough for a smooth bar, many enough to be cheap to schedule

# The transposition for each EXIF orientation. Source: EXIF 2.3, table 4 (tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ProgressBar(tqdm):
    """A progress bar on stderr that starts no thread, and ends nothing where stderr cannot be written."""

    # tqdm's monitor thread would outlive the bar, and forking loader workers beside a thread is unsafe.
    monitor_interval = 0

    def __init__(self, *, enabled: bool, **options: Any) -> None:
        disable = not enabled or sys.stderr is None
        super().__init__(disable=disable, file=sys.stderr, mininterval=0.5, **options)

    def display(self, *args: Any, **options: Any) -> None:
        """Draws the bar."""
        with contextlib.suppress(OSError, ValueError):
            super().display(*args, **options)

    def close(self) -> None:
        """Draws the bar for the last time, and ends its line."""
        with contextlib.suppress(OSError, ValueError):
            super().close()


def to_rgb(image: Image.Image) -> Image.Image:
    """Returns the image upright (by its EXIF orientation), opaque over white, in RGB.

    Damaged EXIF data is ignored with a warning. Grey values outside of 0 to 65535 are a ValueError.
    """
    # Step by step what cifar_models does with an image to classify: the same file gives the same pixels in training
    # and in use. Neither package may import the other; a test across packages compares them.
    return _opaque(_upright(image))


def decode_image(source: bytes | Path, *, fit: bool = False) -> npt.NDArray[np.uint8]:
    """Returns the pixels (32, 32, 3) of an encoded image; of another size only to `fit`: the central square, scaled."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if fit:
                return np.asarray(ImageOps.fit(to_rgb(image), (SIDE, SIDE), method=Image.Resampling.BICUBIC))
            if image.size != (SIDE, SIDE):
                raise ValueError(f"is {image.width}x{image.height} pixels; allowed is {SIDE}x{SIDE}")  # noqa: TRY301
            return np.asarray(to_rgb(image))
    except ValueError as error:
        data = source if isinstance(source, bytes) else source.read_bytes()
        smaller = _without_large_chunk(data) if "MAX_TEXT_" in str(error) else data
        if smaller == data:
            raise
        return decode_image(smaller, fit=fit)


def decode_images(
    items: Sequence[bytes | Path], *, fit: bool = False, place: Callable[[int], str], bar: ProgressBar
) -> npt.NDArray[np.uint8]:
    """Returns the pixels (N, 32, 32, 3) of all items, decoded several at a time: Pillow decodes without the GIL.

    An image that cannot be decoded is a `DataError` that names its `place`.
    """
    images = np.empty((len(items), SIDE, SIDE, 3), dtype=np.uint8)

    def work(start: int) -> int:
        chunk = items[start : start + _CHUNK]
        for index, item in enumerate(chunk, start):
            try:
                images[index] = decode_image(item, fit=fit)
            except Exception as error:  # on damaged files many types, from SyntaxError to struct.error
                reason = str(error) or type(error).__name__
                if isinstance(error, UnidentifiedImageError):  # it tells a memory address
                    reason = "not an image, or damaged from the start"
                raise DataError(f"{place(index)}: cannot decode the image: {reason}") from error
        return len(chunk)

    with ThreadPoolExecutor() as pool:
        for count in pool.map(work, range(0, len(items), _CHUNK)):
            bar.update(count)
    return images


def _without_large_chunk(data: bytes) -> bytes:
    """Returns a PNG without its colour profile, or else its largest chunk of text: Pillow reads 1 MiB of each."""
    chunks, start = [(False, 0, 0, 0)], 8
    while start < len(data):
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        if kind in (b"iCCP", b"iTXt", b"tEXt", b"zTXt"):
            chunks.append((kind == b"iCCP", size, start, start + size + 12))
        start += size + 12
    _, _, start, end = max(chunks)
    return data[:start] + data[end:]


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and raises where that block is damaged.
    image.load()  # a TIFF is turned while loading, and loses its orientation tag then
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, struct.error, ValueError) as error:  # raised by Pillow on damaged EXIF data
        name = getattr(image, "filename", "") or "image"
        warnings.warn(f"{name} has unreadable EXIF data, its orientation is ignored: {error}", stacklevel=3)
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image).convert("RGB")
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):  # premultiplied: Pillow converts these to their plain form only
            image = image.convert(image.mode[:-1] + "A")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Returns a grey image of more than 8 bits as mode "L", scaled instead of clipped.

    "I;16" has values from 0 to 65535. "I" and "F" do not tell their range, so white is the first of 1 (only "F"),
    255 (Pillow's own convention) and 65535 that no value exceeds.
    """
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # also true of NaN
        found = f"has the mode {image.mode!r} and values from {low} to {high}"
        raise ValueError(f"{found}; allowed are 0 to 65535. Scale them, or save it with 8 bits")
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    white = next(white for white in whites if high <= white)
    grey = np.rint(values * (255 / white)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # a PNG may declare one grey value transparent
        grey[values == transparent] = 255
    return Image.fromarray(grey)
