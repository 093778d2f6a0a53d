"""Encoded images to arrays of 32x32 RGB pixels, on all cores."""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from cifar_data.errors import DataError
from cifar_data.progress import ProgressBar

#: Height and width in pixels.
SIDE = 32

_CHUNK = 128  # images per task: small enough for a smooth progress bar, large enough to be cheap to schedule

Item = TypeVar("Item")


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image upright (by its EXIF orientation), opaque over white, in RGB.

    Raises:
        ValueError: If the mode has no defined range of values ("I" and "F").

    >>> to_rgb(Image.new("LA", (1, 1), (0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # 16-bit grey: Pillow's own conversion would clip it
        grey = np.asarray(image).astype(np.float64) * (255 / 65535)
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"has the mode {image.mode!r}, whose range of values is not defined")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def decode_exact(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the pixels (32, 32, 3) of an encoded image that has this size already.

    Raises:
        ValueError: If the size is another.
        OSError: If the bytes are no intact image. (Pillow has further exceptions for damaged ones.)
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.size != (SIDE, SIDE):
            raise ValueError(f"is {image.width}x{image.height} pixels; allowed is {SIDE}x{SIDE}")
        return np.asarray(to_rgb(image))


def decode_fitted(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels (32, 32, 3) of an image file of any size: the central square, scaled bicubically.

    Raises:
        OSError: If the file is no intact image. (Pillow has further exceptions for damaged ones.)
    """
    with Image.open(path) as image:
        fitted = ImageOps.fit(to_rgb(image), (SIDE, SIDE), method=Image.Resampling.BICUBIC)
        return np.asarray(fitted)


def decode_images(
    items: Sequence[Item],
    decode: Callable[[Item], npt.NDArray[np.uint8]],
    *,
    out: npt.NDArray[np.uint8],
    place: Callable[[int], str],
    bar: ProgressBar,
) -> None:
    """Decode each item into its place in `out`, several at a time (Pillow decodes without the GIL).

    Args:
        items: What `decode` takes, one per image.
        decode: Returns the pixels (32, 32, 3).
        out: (N, 32, 32, 3), written to.
        place: Names the image of an index in errors.
        bar: Advanced by one per image.

    Raises:
        DataError: Naming the first image that cannot be decoded, and why.
    """

    def work(start: int) -> int:
        stop = min(start + _CHUNK, len(items))
        for index in range(start, stop):
            try:
                out[index] = decode(items[index])
            except Exception as error:
                # Pillow raises many types on damaged files, from SyntaxError to struct.error.
                raise DataError(f"{place(index)}: cannot decode the image: {_reason(error)}") from error
        return stop - start

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        tasks = [pool.submit(work, start) for start in range(0, len(items), _CHUNK)]
        try:
            for task in tasks:
                bar.update(task.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _reason(error: Exception) -> str:
    # Pillow names the memory address of the buffer in this one, which tells nothing.
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or damaged from the start"
    return str(error) or type(error).__name__
