"""Uploaded files: each is read as the model's own preprocessing does, or rejected with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cifar_models import CIFAR10
from cifar_space import Limits, PictureError, read_picture

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8))
TURNED = PHOTO.transpose(Image.Transpose.ROTATE_270)
EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned a quarter clockwise, to TURNED


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def read(path, data, limits=None):
    path.write_bytes(data)
    return read_picture(path, CIFAR10, limits=limits or Limits())


def png_of_size(width, height):
    """A PNG file whose header claims a size and whose data is one byte."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG"])
def test_reads_each_format_as_the_models_own_preprocessing_does(tmp_path, format):
    data = encoded(PHOTO, format)
    # The content counts, not the name.
    assert np.array_equal(read(tmp_path / "photo.txt", data), CIFAR10.to_image(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_reads_each_mode(tmp_path, mode):
    image = Image.new(mode, (9, 70)) if mode == "I;16" else PHOTO.convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert np.array_equal(read(tmp_path / "a.png", data), CIFAR10.to_image(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_reads_extreme_shapes(tmp_path, size):
    seen = read(tmp_path / "a.png", encoded(Image.new("RGB", size, (10, 20, 30)), "PNG"))
    assert (seen.size, seen.getpixel((16, 16))) == ((32, 32), (10, 20, 30))


def test_rotated_images_are_turned_upright(tmp_path):
    seen = read(tmp_path / "a.png", encoded(PHOTO, "PNG", exif=EXIF))
    assert np.array_equal(seen, CIFAR10.to_image(TURNED))


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_large_texts_and_profiles_do_not_matter(tmp_path, kind):
    large = bytes(2**21)
    texts = PngImagePlugin.PngInfo()
    for number in range(40):  # Pillow reads 1 MiB of each and 64 MiB of all
        if kind == "iTXt":
            texts.add_itxt(f"{number}", large.decode(), zip=True)
        elif kind == "zTXt":
            texts.add_text(f"{number}", large.decode(), zip=True)
    if kind == "tEXt":
        texts.add_text("one", "x" * 2**21)
    data = encoded(PHOTO, "PNG", pnginfo=texts, **({"icc_profile": large} if kind == "iCCP" else {}))
    assert np.array_equal(read(tmp_path / "a.png", data), CIFAR10.to_image(PHOTO))
    # Neither do they hide that the rest is missing.
    with pytest.raises(PictureError, match="damaged or incomplete"):
        read(tmp_path / "a.png", data[:-200])


RAW_PROFILE = f"\nexif\n{len(EXIF.tobytes()):8}\n{EXIF.tobytes().hex()}\n"
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("keyword", "text"), [("Raw profile type exif", RAW_PROFILE), ("XML:com.adobe.xmp", XMP)]
)
def test_images_with_large_texts_are_turned_upright(tmp_path, keyword, text, compressed):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * 2**21, zip=True)
    add = texts.add_itxt if keyword.startswith("XML") else texts.add_text
    add(keyword, text, zip=compressed)
    seen = read(tmp_path / "a.png", encoded(PHOTO, "PNG", pnginfo=texts))
    assert np.array_equal(seen, CIFAR10.to_image(TURNED))
    # One that is too large itself is left out.
    add(keyword, text + " " * 2**21, zip=True)
    assert np.array_equal(
        read(tmp_path / "a.png", encoded(PHOTO, "PNG", pnginfo=texts)), CIFAR10.to_image(PHOTO)
    )


def test_animations_give_their_first_frame(tmp_path):
    first, second = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert read(tmp_path / "a.gif", data).getpixel((5, 5)) == (255, 0, 0)


JPEG = encoded(PHOTO, "JPEG")
HOSTILE = {
    "empty": (b"", "empty"),
    "text": (b"hello, I am a picture", "not a readable image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a readable image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable image"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "damaged or incomplete"),
    "truncated PNG": (encoded(PHOTO, "PNG")[:-200], "damaged or incomplete"),
    "PNG without its pixels": (png_of_size(500, 500), "damaged or incomplete"),
    "too many pixels": (png_of_size(8000, 8000), "8,000 by 8,000 pixels"),
    "bomb that Pillow warns of": (png_of_size(10_000, 10_000), "more than 50 million pixels"),
    "bomb that Pillow refuses": (png_of_size(60_000, 60_000), "more than 50 million pixels"),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_unreadable_files_have_a_reason(tmp_path, data, reason):
    with pytest.raises(PictureError, match=reason):
        read(tmp_path / "a.png", data)


def test_limits_are_checked_before_decoding(tmp_path):
    data, size = encoded(PHOTO, "PNG"), PHOTO.width * PHOTO.height
    assert read(tmp_path / "a.png", data, Limits(file_bytes=len(data), pixels=size)).size == (32, 32)
    with pytest.raises(PictureError, match=r"more than .* MiB"):
        read(tmp_path / "a.png", data, Limits(file_bytes=len(data) - 1))
    with pytest.raises(PictureError, match="40 by 24 pixels"):
        read(tmp_path / "a.png", data, Limits(pixels=size - 1))


@pytest.mark.parametrize("name", ["gone.png", "null\0.png", "."])
def test_missing_files_are_rejected(tmp_path, name):
    with pytest.raises(PictureError, match=r"not there any more|not a file"):
        read_picture(tmp_path / name, CIFAR10, limits=Limits())


SEEDS = [encoded(PHOTO, format) for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
SEEDS.append(encoded(PHOTO, "TIFF", compression="tiff_lzw"))
SEEDS.append(encoded(PHOTO.convert("P"), "PNG", transparency=3))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow and InputSpec warn of damaged metadata
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.1, 1),
)
def test_damaged_files_are_read_or_rejected(tmp_path, seed, edits, kept):
    data = bytearray(seed)
    for place, value in edits:
        # Cubed, so that headers, where decoders go astray, are hit more often.
        data[int(place**3 * len(data))] = value
    try:
        seen = read(tmp_path / "a.png", bytes(data[: int(kept * len(data)) + 1]))
    except PictureError:
        return
    assert (seen.size, seen.mode) == ((32, 32), "RGB")
