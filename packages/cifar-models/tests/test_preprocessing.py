"""Input specs, the arithmetic of normalisation, and images of every kind: upright, opaque, RGB, fitted, unchanged."""

import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps, ImageSequence

from cifar_models import CIFAR10, InputSpec

TRANSPARENT = ["RGBA", "LA", "PA", "RGBa", "La"]
OPAQUE = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"]
MODES_16 = ["I;16", "I;16L", "I;16B", "I;16N"]
LEVELS = torch.arange(256, dtype=torch.uint8).repeat_interleave(3).reshape(1, 16, 16, 3)

means = st.tuples(*[st.floats(0, 1)] * 3)
stds = st.tuples(*[st.floats(1e-6, 1)] * 3)
names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1)
class_names = st.lists(names, min_size=2, unique=True).map(tuple)


def noise(height=32, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(image):
    return np.asarray(CIFAR10.to_image(image))


def fitted(image):
    return np.asarray(ImageOps.fit(image, (32, 32), method=Image.Resampling.BICUBIC))


def reopened(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return Image.open(buffer)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_cifar10_has_the_published_values():
    assert " ".join(CIFAR10.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    np.testing.assert_allclose(CIFAR10.mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(CIFAR10.std, [0.2470, 0.2435, 0.2616], atol=5e-5)
    assert CIFAR10.size == 32


@given(st.builds(InputSpec, classes=class_names, mean=means, std=stds, size=st.integers(16, 1024)))
def test_specs_survive_json(spec):
    again = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("classes", names) for names in (["a", "b", "a"], ["é", "e\u0301"], ["a"], "abcdefghij")),
        *(("classes", ["a", name]) for name in (9, "", " \u00a0", "\u200d\u200c", ["j"])),
        *(("classes", ["a", f"b{character}"]) for character in "\x1b\n\u2028\ud800\u202e"),
        *(("mean", values) for values in ([125.3, 122.9, 113.9], [0.5, 0.5], 0.5)),
        *(("mean", [0.5, 0.5, value]) for value in (np.nan, np.inf, 10**400, "0.5")),
        *(("std", [0.2, 0.2, value]) for value in (0.0, -0.2, 62.9)),
        *(("size", value) for value in (15, 10**9, 32.0, True)),
    ],
)
def test_impossible_values_are_named(key, value):
    with pytest.raises(ValueError, match=f"^{key} must be "):
        InputSpec.from_dict({**CIFAR10.to_dict(), key: value})


def test_class_names_may_have_joiners_spaces_and_direction_marks():
    persian, emoji = "\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f469"
    names = (persian, emoji, "fire\u00a0ant", "\u732b\u3000\u72ac", "\u200e(cat)", "\u0e41\u0e21\u0e27\u200b")
    assert InputSpec.from_dict({**CIFAR10.to_dict(), "classes": names}).classes == names


@pytest.mark.parametrize("values", [{}, {**CIFAR10.to_dict(), "extra": 1}, [], None])
def test_specs_have_exactly_their_keys(values):
    with pytest.raises(ValueError, match="must have exactly the keys"):
        InputSpec.from_dict(values)


@given(mean=means, std=stds)
def test_denormalize_inverts_normalize_for_every_level_and_inputs_stay_as_they_are(mean, std):
    spec, images = dataclasses.replace(CIFAR10, mean=mean, std=std), LEVELS.clone()
    x = spec.normalize(images).requires_grad_()
    before = x.detach().clone()
    assert torch.equal(spec.denormalize(x), LEVELS)
    assert torch.equal(images, LEVELS)
    assert torch.equal(x, before)


def test_normalize_follows_the_formula_for_tensors_arrays_views_and_read_only_memory():
    images = np.random.default_rng(1).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    formula = (images / 255 - np.array(CIFAR10.mean)) / np.array(CIFAR10.std)
    expected = CIFAR10.normalize(torch.from_numpy(images.copy()))
    assert expected.dtype == torch.float32
    np.testing.assert_allclose(expected.numpy(), formula.transpose(0, 3, 1, 2), rtol=0, atol=1e-6)
    images.flags.writeable = False
    assert torch.equal(CIFAR10.normalize(images), expected)
    assert torch.equal(CIFAR10.normalize(images[::-1]), expected.flip(0))
    assert torch.equal(CIFAR10.normalize(images[:, :, ::-1]), expected.flip(3))
    assert expected.is_contiguous(memory_format=torch.channels_last)
    assert CIFAR10.normalize(images[:0]).shape == (0, 3, 8, 6)


def test_denormalize_rounds_and_clips():
    identity = dataclasses.replace(CIFAR10, mean=(0.0,) * 3, std=(1.0,) * 3)
    values = torch.tensor([-9.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 2.0, float("inf"), float("-inf")])
    assert identity.denormalize(values.expand(1, 3, 1, 7))[0, 0, :, 0].tolist() == [0, 0, 1, 255, 255, 255, 0]


@pytest.mark.parametrize(
    ("method", "wrong", "error", "message"),
    [
        (CIFAR10.normalize, np.zeros((1, 8, 8, 3)), ValueError, r"uint8 .* \(N, H, W, 3\), got float64"),
        (CIFAR10.normalize, torch.zeros(1, 8, 8, 3), ValueError, "got torch.float32"),
        (CIFAR10.normalize, np.zeros((8, 8, 3), np.uint8), ValueError, r"of shape \(8, 8, 3\)"),
        (CIFAR10.normalize, np.zeros((1, 3, 8, 8), np.uint8), ValueError, r"of shape \(1, 3, 8, 8\)"),
        (CIFAR10.normalize, [[1]], TypeError, "numpy array or a tensor, got list"),
        (CIFAR10.denormalize, LEVELS, ValueError, r"floating-point of shape \(N, 3, H, W\), got torch.uint8"),
        (CIFAR10.denormalize, torch.zeros(3, 8, 8), ValueError, r"of shape \(3, 8, 8\)"),
        (CIFAR10.denormalize, torch.zeros(1, 8, 8, 3), ValueError, r"of shape \(1, 8, 8, 3\)"),
        (CIFAR10.denormalize, torch.full((1, 3, 2, 2), float("nan")), ValueError, "NaN"),
    ],
)
def test_other_batches_are_rejected(method, wrong, error, message):
    with pytest.raises(error, match=message):
        method(wrong)


@settings(max_examples=30, deadline=None)
@example(height=32, width=32)
@example(height=1, width=5000)
@example(height=5000, width=1)
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_other_sizes_are_fitted_as_pillow_does(height, width):
    image = Image.fromarray(noise(height, width))
    assert np.array_equal(pixels(image), fitted(image))
    assert (height, width) != (32, 32) or np.array_equal(pixels(image), np.asarray(image))


@pytest.mark.parametrize("mode", TRANSPARENT + OPAQUE + MODES_16)
def test_every_mode_gives_rgb_over_white_and_keeps_the_original(mode):
    image = Image.new(mode, (50, 40))  # transparent if the mode allows it
    before = image.tobytes()
    result = CIFAR10.to_image(image)
    assert (result.mode, result.size) == ("RGB", (32, 32))
    assert mode not in TRANSPARENT or (np.asarray(result) == 255).all()
    assert (image.mode, image.size, image.tobytes()) == (mode, (50, 40), before)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBX", "CMYK", "YCbCr", "HSV", "RGBA", "LA", "PA"])
def test_opaque_images_are_converted_as_pillow_does(mode):
    image = Image.fromarray(noise()).convert("P" if mode == "PA" else "RGB").convert(mode)
    assert np.array_equal(pixels(image), np.asarray(image.convert("RGB")))


def test_lab_is_converted_by_its_published_coordinates():
    # Lightness 0 to 255, a and b around 128: black, white, and the red of sRGB.
    red = round(53.24 * 2.55), 128 + 80, 128 + 67
    for lab, rgb in [((0, 128, 128), (0, 0, 0)), ((255, 128, 128), (255, 255, 255)), (red, (255, 0, 0))]:
        assert np.abs(pixels(Image.new("LAB", (32, 32), lab))[0, 0].astype(int) - rgb).max() <= 12, lab


@given(hnp.arrays(np.uint8, (32, 32, 4)))
def test_transparency_lies_over_white(array):
    colour, alpha = array[..., :3].astype(float), array[..., 3:] / 255
    expected, image = colour * alpha + 255 * (1 - alpha), Image.fromarray(array)
    assert np.abs(pixels(image) - expected).max() <= 1
    assert np.abs(pixels(image.convert("RGBa")) - expected).max() <= 2  # premultiplied, so rounded twice


@pytest.mark.parametrize(("mode", "value"), [("L", 10), ("RGB", (1, 2, 3)), ("P", 0), ("I;16", 4000)])
def test_the_transparent_value_of_a_png_is_white(mode, value):
    image = reopened(Image.new(mode, (32, 32), value), "PNG", transparency=value)
    assert "transparency" in image.info
    assert (pixels(image) == 255).all()


@pytest.mark.parametrize(
    ("mode", "white"),
    [*((mode, 65535) for mode in MODES_16), ("I", 65535), ("I", 255), ("F", 65535), ("F", 255), ("F", 1)],
)
def test_greys_of_more_than_8_bits_are_scaled_by_their_range(mode, white):
    ramp = np.linspace(0, white, 1024, dtype=np.float32 if mode == "F" else np.int32)
    image = Image.new(mode, (32, 32))
    for number, grey in enumerate(ramp.tolist()):
        image.putpixel((number % 32, number // 32), grey)
    expected = np.rint(ramp.astype(float) * (255 / white)).reshape(32, 32, 1)
    assert np.array_equal(pixels(image), np.broadcast_to(expected, (32, 32, 3)))


@pytest.mark.parametrize("value", [-1.0, 65536.0, float("nan"), float("inf")])
def test_long_greys_beyond_their_range_are_rejected(value):
    with pytest.raises(ValueError, match="mode F must have values from 0 to 65535"):
        CIFAR10.to_image(Image.new("F", (32, 32), value))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once_and_before_cropping(orientation, format):
    image = Image.fromarray(noise(40, 65))
    opened = reopened(image.convert("RGBA"), format, exif=exif(orientation), lossless=True)
    image.getexif()[0x0112] = orientation
    expected = fitted(ImageOps.exif_transpose(image))
    assert (orientation in (0, 1, 9)) == np.array_equal(expected, fitted(image))
    assert np.array_equal(pixels(opened), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 60), value=st.integers(0, 255), cut=st.integers(0, 90))
def test_images_with_damaged_exif_are_accepted(position, value, cut):
    tags = exif(3)
    tags[0x010E] = "a description"
    block = bytearray(tags.tobytes())
    block[position % len(block)] = value
    image = Image.fromarray(noise())
    image.info["exif"] = bytes(block[: max(cut, 6)])
    assert pixels(image).shape == (32, 32, 3)


@pytest.mark.parametrize("block", [b"Exif\0\0XX*\0", b"garbage"])
def test_unreadable_exif_is_ignored_with_a_warning(block):
    image = Image.fromarray(noise())
    image.info["exif"] = block
    with pytest.warns(UserWarning, match="unreadable EXIF data, its orientation is ignored"):
        assert np.array_equal(pixels(image), noise())


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF"])
def test_the_first_frame_counts_and_the_image_stays_at_its_own(format):
    red, *others = (Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue"))
    image = reopened(red, format, save_all=True, append_images=others)
    for position in (2, 0, 1):
        image.seek(position)
        assert (pixels(image) == (255, 0, 0)).all()
        assert image.tell() == position
    assert len(list(ImageSequence.Iterator(image))) == 3


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_arrays_give_the_same_as_their_images(shape):
    array = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(array[..., 0] if shape[2:] == (1,) else array)
    array.flags.writeable = False
    assert np.array_equal(pixels(array), pixels(image))
    assert np.array_equal(pixels(array[::-1, ::-1]), pixels(image.transpose(Image.Transpose.ROTATE_180)))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        *((np.zeros((9, 9, 3), kind), ValueError, f"got {kind} of") for kind in ("float32", "uint16")),
        (np.zeros((32, 32, 2), np.uint8), ValueError, r"\(H, W, 4\), got uint8 of shape \(32, 32, 2\)"),
        *((np.zeros(size, np.uint8), ValueError, "got uint8") for size in ((3, 8, 8), (1, 8, 8, 3), 32)),
        (np.zeros((5, 0), np.uint8), ValueError, r"at least one pixel, got the size \(0, 5\)"),
        (Image.new("RGB", (0, 5)), ValueError, r"at least one pixel, got the size \(0, 5\)"),
        ("cat.png", TypeError, "PIL image or a uint8 numpy array, got str"),
        (torch.zeros(3, 32, 32), TypeError, "PIL image or a uint8 numpy array, got Tensor"),
    ],
)
def test_what_is_no_image_is_rejected(wrong, error, message):
    with pytest.raises(error, match=message):
        CIFAR10.preprocess(wrong)


def test_a_batch_is_its_images_normalised():
    images = [noise(32, 32), Image.new("CMYK", (9, 70), (1, 2, 3, 4)), noise(80, 33)[..., 0], noise(50, 40)]
    batch = CIFAR10.preprocess_batch(images)
    assert (batch.dtype, batch.shape) == (torch.float32, (4, 3, 32, 32))
    assert torch.equal(batch, torch.stack([CIFAR10.preprocess(image) for image in images]))
    assert np.array_equal(CIFAR10.denormalize(batch).numpy(), np.stack([pixels(image) for image in images]))
    assert CIFAR10.preprocess_batch([]).shape == (0, 3, 32, 32)
