"""Images of any size and mode become upright RGB of 32x32 pixels."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from cifar_data.dataset.decode import decode_image, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_every_orientation_is_applied_once(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode_image(path, fit=True), expected)


def test_damaged_exif_does_not_keep_an_image_out(tmp_path):
    path = tmp_path / "damaged.png"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0XX*\0")
    with Image.open(path) as image, pytest.raises(SyntaxError):
        ImageOps.exif_transpose(image)
    with pytest.warns(UserWarning, match=r"damaged\.png has unreadable EXIF data, its orientation is"):
        np.testing.assert_array_equal(decode_image(path, fit=True), PIXELS)


MODES = ["1", "L", "LA", "La", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb_over_white(mode):
    rgb = to_rgb(Image.new(mode, (4, 4)))
    assert rgb.mode == "RGB"
    assert (rgb.getpixel((0, 0)) == (255, 255, 255)) == (mode in ("LA", "La", "RGBA", "RGBa", "CMYK"))


@pytest.mark.parametrize(
    ("dtype", "white"), [("u2", 65535), ("i4", 255), ("i4", 65535), ("f4", 1), ("f4", 255), ("f4", 65535)]
)
def test_grey_of_more_than_8_bits_is_scaled_and_not_clipped(dtype, white):
    ramp = np.linspace(0, white, 256).reshape(1, 256).astype(dtype)
    expected = np.rint(ramp.astype(float) * (255 / white))
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(ramp)))[..., 0], expected)


@pytest.mark.parametrize(("mode", "grey"), [("I", -1), ("I", 65536), ("F", -1), ("F", np.nan), ("F", np.inf)])
def test_greys_out_of_range_are_rejected(mode, grey):
    with pytest.raises(ValueError, match=f"has the mode '{mode}' and values from {grey:.1f} .* 0 to 65535"):
        to_rgb(Image.new(mode, (4, 4), grey))


def test_the_grey_that_a_16_bit_png_declares_transparent_is_white(tmp_path):
    grey = Image.fromarray(np.full((32, 32), 4000, np.uint16))
    grey.putpixel((0, 0), 4001)
    grey.save(tmp_path / "a.png", transparency=4000)
    decoded = decode_image(tmp_path / "a.png").reshape(-1, 3)
    assert (decoded[0] == 16).all()
    assert (decoded[1:] == 255).all()


def test_an_image_of_another_size_is_rejected_or_its_central_square_is_scaled(tmp_path):
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 200  # the central square
    path = tmp_path / "wide.png"
    Image.fromarray(pixels).save(path)
    # Without the edge, where the filter mixes in neighbours.
    assert (decode_image(path, fit=True)[:, 2:-2] == 200).all()
    with pytest.raises(ValueError, match="is 192x64 pixels; allowed is 32x32"):
        decode_image(path.read_bytes())


def test_a_png_with_large_text_and_a_large_colour_profile_is_read_and_a_cut_one_is_not(tmp_path):
    text, exif = PngInfo(), Image.Exif()
    text.add_text("first", "a" * 3_000_000, zip=True)
    text.add_itxt("second", "b" * 3_000_000, zip=True)
    exif[0x0112] = 3
    path = tmp_path / "large.png"
    Image.fromarray(PIXELS).save(path, pnginfo=text, icc_profile=bytes(3_000_000), exif=exif)
    np.testing.assert_array_equal(decode_image(path, fit=True), PIXELS[::-1, ::-1])
    np.testing.assert_array_equal(decode_image(path.read_bytes()), PIXELS[::-1, ::-1])
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(OSError, match="truncated"):
        decode_image(path, fit=True)
