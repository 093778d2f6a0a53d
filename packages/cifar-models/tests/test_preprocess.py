"""Images of every kind: upright, opaque, RGB, fitted, and never changed on the way in."""

import io
import itertools
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps, ImageSequence

from cifar_models import CIFAR10

MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
MODES_16 = ["I;16", "I;16L", "I;16B", "I;16N"]


def noise(height=32, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(image):
    return np.asarray(CIFAR10.to_image(image))


@pytest.fixture
def half():
    """Distinct corners, no symmetry: any of the eight orientations looks different."""
    array = np.zeros((32, 32, 3), np.uint8)
    array[:16, :8] = 255, 0, 0
    array[20:, 24:] = 0, 255, 0
    return array


@given(hnp.arrays(np.uint8, (32, 32, 3)))
def test_rgb_of_the_right_size_passes_unchanged(array):
    assert np.array_equal(pixels(Image.fromarray(array)), array)
    assert np.array_equal(pixels(array), array)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_other_sizes_are_fitted_as_pillow_does(height, width):
    image = Image.fromarray(noise(height, width))
    expected = ImageOps.fit(image, (32, 32), method=Image.Resampling.BICUBIC)
    assert np.array_equal(pixels(image), np.asarray(expected))


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_extreme_shapes(size):
    assert np.array_equal(pixels(Image.new("RGB", size, (9, 8, 7))), np.full((32, 32, 3), (9, 8, 7)))


@pytest.mark.parametrize("mode", [*MODES, *MODES_16, "I", "F"])
def test_every_mode_gives_rgb_and_keeps_the_original(mode):
    image = Image.new(mode, (50, 40))
    before = image.tobytes()
    result = CIFAR10.to_image(image)
    assert (result.mode, result.size) == ("RGB", (32, 32))
    assert (image.mode, image.size, image.tobytes()) == (mode, (50, 40), before)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_opaque_modes_convert_as_pillow_does(mode):
    image = Image.fromarray(noise()).convert(mode)
    assert np.array_equal(pixels(image), np.asarray(image.convert("RGB")))


def test_lab():
    """Lightness 0 to 255, a and b around 128: black, white, and the sRGB red by its published coordinates."""
    red = round(53.24 * 2.55), 128 + 80, 128 + 67
    for lab, rgb in [((0, 128, 128), (0, 0, 0)), ((255, 128, 128), (255, 255, 255)), (red, (255, 0, 0))]:
        assert np.abs(pixels(Image.new("LAB", (32, 32), lab))[0, 0].astype(int) - rgb).max() <= 12, lab


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_opaque_alpha_changes_nothing(mode):
    image = Image.fromarray(noise()).convert("P" if mode == "PA" else "RGB").convert(mode)
    assert np.array_equal(pixels(image), np.asarray(image.convert("RGB")))


@given(hnp.arrays(np.uint8, (32, 32, 4)))
def test_transparency_lies_over_white(array):
    colour, alpha = array[..., :3].astype(float), array[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    assert np.abs(pixels(Image.fromarray(array)) - expected).max() <= 1
    assert np.abs(pixels(array) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_fully_transparent_is_white(mode):
    assert (pixels(Image.new(mode, (32, 32))) == 255).all()


def test_premultiplied_alpha():
    plain = Image.new("RGBA", (32, 32), (200, 100, 0, 128))
    assert np.abs(pixels(plain.convert("RGBa")).astype(int) - pixels(plain)).max() <= 1


@pytest.mark.parametrize(("mode", "value"), [("L", 10), ("RGB", (1, 2, 3)), ("P", 0), ("I;16", 4000)])
def test_declared_transparent_value_in_a_png_is_white(mode, value):
    image = Image.new(mode, (32, 32), value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=value)
    reopened = Image.open(buffer)
    assert "transparency" in reopened.info
    assert (pixels(reopened) == 255).all()


@pytest.mark.parametrize("mode", MODES_16)
def test_sixteen_bits_are_scaled(mode):
    image = Image.new(mode, (32, 32))
    for x, y in itertools.product(range(32), range(32)):
        image.putpixel((x, y), (y * 32 + x) * 64)
    values = np.arange(1024).reshape(32, 32) * 64
    expected = np.rint(values / 257).astype(np.uint8)
    assert np.array_equal(pixels(image), np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize(("mode", "white"), [("I", 65535), ("I", 255), ("F", 65535), ("F", 255), ("F", 1)])
def test_long_greys_are_scaled_by_their_range(mode, white):
    ramp = np.linspace(0, white, 1024).reshape(32, 32).astype(np.int32 if mode == "I" else np.float32)
    image = Image.fromarray(ramp)
    assert image.mode == mode
    expected = np.rint(ramp.astype(float) * (255 / white)).astype(np.uint8)
    assert np.array_equal(pixels(image)[..., 0], expected)


def test_long_grey_of_a_byte_image_is_that_image():
    grey = Image.fromarray(noise()).convert("L")
    for mode in ("I", "F"):
        assert np.array_equal(pixels(grey.convert(mode)), pixels(grey))


@pytest.mark.parametrize("value", [-1.0, 65536.0, float("nan"), float("inf")])
def test_long_greys_beyond_their_range_are_refused(value):
    with pytest.raises(ValueError, match="mode F must have values from 0 to 65535"):
        CIFAR10.to_image(Image.new("F", (32, 32), value))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(half, orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(half).save(buffer, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert (orientation == 1) == np.array_equal(expected, half)
    assert np.array_equal(pixels(Image.open(buffer)), expected)


def test_orientation_comes_before_cropping():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image = Image.fromarray(noise(40, 64))
    image.save(buffer, "PNG", exif=exif)
    assert np.array_equal(pixels(Image.open(buffer)), pixels(image.transpose(Image.Transpose.ROTATE_270)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 60), value=st.integers(0, 255), cut=st.integers(0, 90))
def test_damaged_exif_does_not_keep_an_image_out(position, value, cut):
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010E] = "a description"
    block = bytearray(exif.tobytes())
    block[position % len(block)] = value
    image = Image.fromarray(noise())
    image.info["exif"] = bytes(block[: max(cut, 6)])
    assert pixels(image).shape == (32, 32, 3)


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"Exif\0\0XX*\0", b"II*\0\x08\0\0\0", b"garbage"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_unreadable_exif_is_ignored_aloud(half, block):
    def image():
        opened = Image.fromarray(half)
        opened.info["exif"] = block
        return opened

    try:
        image().getexif()
    except (SyntaxError, struct.error):
        with pytest.warns(UserWarning, match="unreadable EXIF data, its orientation is ignored"):
            assert np.array_equal(pixels(image()), half)
    else:
        assert np.array_equal(pixels(image()), half)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_is_as_none(half, value):
    image = Image.fromarray(half)
    image.getexif()[0x0112] = value
    assert np.array_equal(pixels(image), half)


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF"])
def test_first_frame_counts_and_the_image_stays_at_its_own(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
    image = Image.open(buffer)
    for position in (2, 0, 1):
        image.seek(position)
        assert (pixels(image) == (255, 0, 0)).all()
        assert image.tell() == position
    assert len(list(ImageSequence.Iterator(image))) == 3


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_arrays_are_as_their_images(shape):
    array = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(array[..., 0] if shape[2:] == (1,) else array)
    assert np.array_equal(pixels(array), pixels(image))
    assert np.array_equal(pixels(array[::-1, ::-1]), pixels(image.transpose(Image.Transpose.ROTATE_180)))


def test_read_only_arrays_are_fine():
    array = noise()
    array.flags.writeable = False
    assert np.array_equal(pixels(array), array)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint16),
        np.zeros((32, 32, 3), bool),
        np.zeros((32, 32, 2), np.uint8),
        np.zeros((3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros(32, np.uint8),
    ],
)
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="image must be a uint8 array of shape") as caught:
        CIFAR10.preprocess(wrong)
    assert str(wrong.shape) in str(caught.value)
    assert str(wrong.dtype) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 32), (32, 0, 3)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(ValueError, match="at least one pixel, got the shape"):
        CIFAR10.preprocess(np.zeros(shape, np.uint8))


def test_empty_images_are_refused():
    with pytest.raises(ValueError, match=r"at least one pixel, got the size \(0, 5\)"):
        CIFAR10.preprocess(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("wrong", ["cat.png", b"\x89PNG", None, torch.zeros(3, 32, 32), [[1]]])
def test_other_types_are_refused(wrong):
    with pytest.raises(TypeError, match=f"PIL image or a uint8 numpy array, got {type(wrong).__name__}"):
        CIFAR10.preprocess(wrong)


def test_truncated_files_say_so():
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(buffer, "PNG")
    with pytest.raises(OSError, match="truncated"):
        CIFAR10.preprocess(Image.open(io.BytesIO(buffer.getvalue()[:3000])))


def test_preprocess_is_the_image_normalised():
    array = noise(50, 40)
    tensor = CIFAR10.preprocess(array)
    assert (tensor.dtype, tensor.shape) == (torch.float32, (3, 32, 32))
    assert np.array_equal(CIFAR10.denormalize(tensor[None])[0].numpy(), pixels(array))


def test_a_batch_is_its_images_to_the_bit():
    images = [noise(32, 32), Image.new("CMYK", (9, 70), (1, 2, 3, 4)), noise(80, 33)[..., 0]]
    batch = CIFAR10.preprocess_batch(images)
    assert torch.equal(batch, torch.stack([CIFAR10.preprocess(image) for image in images]))
    assert CIFAR10.preprocess_batch([]).shape == (0, 3, 32, 32)
