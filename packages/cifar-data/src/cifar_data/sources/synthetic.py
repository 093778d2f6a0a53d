"""Ten classes of drawn shapes: a small dataset that needs no files and no network."""

import numpy as np
import numpy.typing as npt

from cifar_data.dataset.arrays import SIDE, ImageDataset, Split
from cifar_data.dataset.fingerprint import describe_dataset
from cifar_data.validation import check_integer

#: Shapes and textures in the order of the labels. Each looks the same when flipped left to right.
SYNTHETIC_CLASSES = (
    *("circle", "square", "triangle", "cross", "ring", "diamond"),
    *("rows", "columns", "checks", "dots"),
)

_NOISE = 24  # largest change of a pixel's value, of 255
_CONTRAST = 64  # smallest distance between the two colours, in the channel where they differ most


def make_synthetic(train_size: int = 10_000, test_size: int = 2_000, seed: int = 0) -> ImageDataset:
    """Returns a dataset of drawn shapes and textures in random colours, places and sizes, with noise.

    The classes are balanced to within one image. Shape or background may be the brighter one, so colour tells
    nothing, and a linear classifier stays far below a small convolutional net. The same seed gives the same images.

    Args:
        train_size: At least 10, one per class.
        test_size: At least 10.
        seed: 0 or more.
    """
    check_integer("train_size", train_size, low=len(SYNTHETIC_CLASSES))
    check_integer("test_size", test_size, low=len(SYNTHETIC_CLASSES))
    check_integer("seed", seed, low=0)
    train = _draw_split(train_size, np.random.default_rng((seed, 0)))
    test = _draw_split(test_size, np.random.default_rng((seed, 1)))
    return describe_dataset(train, test, classes=SYNTHETIC_CLASSES, origin=f"synthetic shapes, seed {seed}")


def _draw_split(size: int, rng: np.random.Generator) -> Split:
    labels = rng.permutation(np.arange(size, dtype=np.int64) % len(SYNTHETIC_CLASSES))
    masks = np.empty((size, SIDE, SIDE), dtype=bool)
    for label, name in enumerate(SYNTHETIC_CLASSES):
        members = np.flatnonzero(labels == label)
        masks[members] = _draw_masks(name, len(members), rng)
    shapes, grounds = _draw_colours(size, rng)
    images = np.where(masks[..., None], shapes[:, None, None, :], grounds[:, None, None, :])
    images += rng.integers(-_NOISE, _NOISE + 1, size=images.shape, dtype=np.int16)
    return Split(images.clip(0, 255).astype(np.uint8), labels)


def _draw_colours(size: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Returns two colours (size, 3) per image that differ by at least the contrast in one channel."""
    shapes, grounds = rng.integers(0, 256, size=(2, size, 3), dtype=np.int16)
    channels = np.abs(shapes - grounds).argmax(axis=1)
    rows = np.arange(size)
    # Drawn as a step around the circle of 256 values, both directions are equally likely.
    steps = rng.integers(_CONTRAST, 256 - _CONTRAST, size=size, dtype=np.int16)
    grounds[rows, channels] = (shapes[rows, channels] + steps) % 256
    return shapes, grounds


def _draw_masks(name: str, size: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Returns a mask (size, 32, 32) of each image's shape.

    Only sums, products and comparisons of float32, so that every machine draws the same pixels.
    """
    extent = rng.uniform(7, 12, size=(size, 1, 1)).astype(np.float32)  # half the height, in pixels
    centre = rng.uniform(12, 20, size=(2, size, 1, 1)).astype(np.float32)
    period = rng.uniform(4, 9, size=(size, 1, 1)).astype(np.float32)  # of a texture, in pixels
    grid = np.arange(SIDE, dtype=np.float32)
    y = (grid[None, :, None] - centre[0]) / extent  # (size, 32, 1), -1 to 1 within the shape
    x = (grid[None, None, :] - centre[1]) / extent  # (size, 1, 32)
    in_row = (grid[None, :, None] - centre[0]) % period < period / 2
    in_column = (grid[None, None, :] - centre[1]) % period < period / 2
    ax, ay = np.abs(x), np.abs(y)
    everywhere = np.ones((size, SIDE, SIDE), dtype=bool)
    radius2 = x * x + y * y
    draw = {
        "circle": lambda: radius2 < 1,
        "square": lambda: (ax < 0.85) & (ay < 0.85),
        "triangle": lambda: (y < 0.8) & (y > 2 * ax - 1),
        "cross": lambda: ((ax < 0.3) & (ay < 1)) | ((ay < 0.3) & (ax < 1)),
        "ring": lambda: (radius2 < 1) & (radius2 > 0.4),
        "diamond": lambda: ax + ay < 1.1,
        "rows": lambda: in_row & everywhere,
        "columns": lambda: in_column & everywhere,
        "checks": lambda: in_row ^ in_column,
        "dots": lambda: in_row & in_column,
    }
    return np.asarray(draw[name]())
