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
from cifar_space.service.uploads import FORMATS

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8))
TURNED = PHOTO.transpose(Image.Transpose.ROTATE_270)
EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned a quarter clockwise, to TURNED


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    """Reads the bytes of a file whose name tells nothing."""

    def read(data, **limits):
        (tmp_path / "photo.txt").write_bytes(data)
        return read_picture(tmp_path / "photo.txt", CIFAR10, limits=Limits(**limits))

    return read


@pytest.mark.parametrize(
    ("image", "format"),
    [
        *((PHOTO, format) for format in FORMATS),
        *((PHOTO.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")),
        (PHOTO.convert("CMYK"), "TIFF"),
        (Image.new("I;16", (9, 70)), "PNG"),
        *((Image.new("RGB", size, (10, 20, 30)), "PNG") for size in ((1, 1), (1, 5000), (5000, 1))),
    ],
)
def test_reads_images_as_the_models_own_preprocessing_does(read, image, format):
    seen = read(data := encoded(image, format))
    assert (seen.size, seen.mode) == ((32, 32), "RGB")
    assert np.array_equal(seen, CIFAR10.to_image(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_photos_of_a_turned_camera_are_upright(read, format):
    half = Image.new("RGB", (64, 48))
    half.paste("white", (0, 0, 32, 48))  # the left half, which a quarter clockwise brings to the top
    seen = np.asarray(read(encoded(half, format, exif=EXIF.tobytes())))
    assert seen[:12].min() > 200
    assert seen[20:].max() < 50


def test_rotated_images_are_turned_upright_and_animations_give_their_first_frame(read):
    assert np.array_equal(read(encoded(PHOTO, exif=EXIF)), CIFAR10.to_image(TURNED))
    first, second = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert read(data).getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_large_texts_and_profiles_do_not_matter(read, kind):
    large, texts = "\0" * 2**21, PngImagePlugin.PngInfo()
    for number in range({"tEXt": 1, "iCCP": 0}.get(kind, 40)):  # Pillow reads 1 MiB of each and 64 MiB of all
        add = texts.add_itxt if kind == "iTXt" else texts.add_text
        add(f"{number}", large, zip=kind != "tEXt")
    data = encoded(PHOTO, pnginfo=texts, icc_profile=large.encode() if kind == "iCCP" else None)
    assert np.array_equal(read(data), CIFAR10.to_image(PHOTO))
    # Neither do they hide that the rest is missing.
    with pytest.raises(PictureError, match="damaged or incomplete"):
        read(data[:-200])


RAW_PROFILE = f"\nexif\n{len(EXIF.tobytes()):8}\n{EXIF.tobytes().hex()}\n"
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("keyword", "text"), [("Raw profile type exif", RAW_PROFILE), ("XML:com.adobe.xmp", XMP)]
)
def test_images_with_large_texts_are_turned_upright(read, keyword, text, compressed):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * 2**21, zip=True)
    add = texts.add_itxt if keyword.startswith("XML") else texts.add_text
    add(keyword, text, zip=compressed)
    assert np.array_equal(read(encoded(PHOTO, pnginfo=texts)), CIFAR10.to_image(TURNED))
    # One that is too large itself is left out.
    add(keyword, text + " " * 2**21, zip=True)
    assert np.array_equal(read(encoded(PHOTO, pnginfo=texts)), CIFAR10.to_image(PHOTO))


def png_of_size(width, height):
    """A PNG file whose header claims a size and whose data is one byte."""
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        PngImagePlugin.putchunk(file, kind, data)
    return file.getvalue()


HOSTILE = {
    "empty": (b"", "empty"),
    "text": (b"hello, I am a picture", "not a readable image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a readable image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable image"),
    "truncated JPEG": (encoded(PHOTO, "JPEG")[:500], "damaged or incomplete"),
    "truncated PNG": (encoded(PHOTO)[:-200], "damaged or incomplete"),
    "PNG without its pixels": (png_of_size(500, 500), "damaged or incomplete"),
    "too many pixels": (png_of_size(8000, 8000), "8,000 by 8,000 pixels"),
    "HEIC of four billion pixels a row": (
        encoded(PHOTO, "HEIF").replace(b"ispe\0\0\0\0\0", b"ispe\0\0\0\0\xf0"), "damaged or incomplete",
    ),
    "bomb that Pillow warns of": (png_of_size(10_000, 10_000), "more than 50 million pixels"),
    "bomb that Pillow refuses": (png_of_size(60_000, 60_000), "more than 50 million pixels"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_unreadable_files_have_a_reason(read, data, reason):
    with pytest.raises(PictureError, match=reason):
        read(data)


def test_limits_are_checked_before_decoding(read):
    data, size = encoded(PHOTO), PHOTO.width * PHOTO.height
    assert read(data, file_bytes=len(data), pixels=size).size == (32, 32)
    with pytest.raises(PictureError, match=r"more than .* MiB"):
        read(data, file_bytes=len(data) - 1)
    with pytest.raises(PictureError, match="40 by 24 pixels"):
        read(data, pixels=size - 1)


@pytest.mark.parametrize("name", ["gone.png", "null\0.png", "."])
def test_missing_files_are_rejected(tmp_path, name):
    with pytest.raises(PictureError, match=r"not there any more|not a file"):
        read_picture(tmp_path / name, CIFAR10, limits=Limits())


SEEDS = [encoded(PHOTO, format) for format in FORMATS]
SEEDS.append(encoded(PHOTO, "TIFF", compression="tiff_lzw"))
SEEDS.append(encoded(PHOTO.convert("P"), transparency=3))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow and InputSpec warn of damaged metadata
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.1, 1),
)
def test_damaged_files_are_read_or_rejected(read, seed, edits, kept):
    data = bytearray(seed)
    for place, value in edits:
        # Cubed, so that headers, where decoders go astray, are hit more often.
        data[int(place**3 * len(data))] = value
    try:
        seen = read(bytes(data[: int(kept * len(data)) + 1]))
    except PictureError:
        return
    assert (seen.size, seen.mode) == ((32, 32), "RGB")
