"""Any image to upright, opaque RGB: what `InputSpec` does before it looks at the size."""

import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

#: What the EXIF orientation asks a viewer to do. Source: EXIF 2.3, table 4 (tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    """Return an image as upright RGB of the same content, leaving the original as it was.

    Args:
        image: A PIL image of any mode, of which the first frame counts, or a uint8 array (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4). Transparent parts turn white.

    Damaged EXIF data is ignored with a warning.

    Raises:
        TypeError: If it is neither of these.
        ValueError: If the array's dtype or shape is another, the image has no pixels, or its values are out
            of range (modes "I" and "F").
        OSError: If the image's file is damaged.

    >>> import numpy as np
    >>> to_rgb(np.full((4, 6), 7, dtype=np.uint8)).getpixel((0, 0))
    (7, 7, 7)
    >>> to_rgb(Image.new("RGBA", (6, 4), (255, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    elif not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image or a uint8 numpy array, got {type(image).__name__}")
    if 0 in image.size:
        raise ValueError(f"image must have at least one pixel, got the size {image.size}")
    return _opaque(_upright(_first_frame(image)))


def _from_array(array: NDArray[Any]) -> Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not shaped:
        raise ValueError(
            "image must be a uint8 array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"image must have at least one pixel, got the shape {array.shape}")
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)


def _first_frame(image: Image.Image) -> Image.Image:
    position = image.tell()
    if position == 0:
        return image
    image.seek(0)
    try:
        return image.copy()
    finally:
        image.seek(position)  # the caller's image stays where it was


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and raises where that block is damaged.
    image.load()  # a TIFF is turned while loading, and loses its orientation tag then
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, struct.error, ValueError) as error:  # what Pillow raises on damaged EXIF
        # The pixels are whole, so the image is shown as any viewer would show it.
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
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "LAB", "RGB"))
        if converted is None:
            raise ValueError("image of mode LAB could not be converted to RGB")
        return converted
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):  # premultiplied: Pillow converts these to their plain form only
            image = image.convert(image.mode[:-1] + "A")
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Return a grey image of more than 8 bits as mode "L", scaled instead of clipped.

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
