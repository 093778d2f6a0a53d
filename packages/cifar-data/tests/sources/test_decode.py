"""Images of any size and mode become upright RGB of 32x32 pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from cifar_data.decode import decode_exact, decode_fitted, to_rgb


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:8] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    decoded = decode_fitted(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded, np.rot90(pixels, k=-1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_modes(mode):
    assert to_rgb(Image.new(mode, (4, 4))).mode == "RGB"


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_range_are_refused(mode):
    with pytest.raises(ValueError, match="range of values"):
        to_rgb(Image.new(mode, (4, 4)))


def test_16_bit_grey_is_scaled_and_not_clipped():
    grey = Image.fromarray(np.array([[0, 0x80FF, 0xFFFF]], np.uint16))
    np.testing.assert_array_equal(np.asarray(to_rgb(grey))[0, :, 0], [0, 0x80, 0xFF])


def test_transparency_is_laid_over_white():
    half = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
    red, green, blue = to_rgb(half).getpixel((0, 0))
    assert red == 255
    assert green == blue
    assert abs(green - 127) <= 1


def test_a_large_image_is_cropped_to_its_central_square(tmp_path):
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 200  # the central square
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    inner = decode_fitted(tmp_path / "wide.png")[:, 2:-2]  # the filter mixes in neighbours at the edge
    assert (inner == 200).all()


def test_exact_decoding_takes_only_32_by_32():
    buffer = io.BytesIO()
    Image.new("RGB", (32, 31)).save(buffer, "PNG")
    with pytest.raises(ValueError, match="32x31"):
        decode_exact(buffer.getvalue())
