"""Both loaders draw from one distribution, as images show whose pixels encode their places."""

import numpy as np
import pytest
import torch

from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import Split
from cifar_data.loaders.albumentations import AlbumentationsDataset
from cifar_data.loaders.tensor import TensorLoader

COUNT = 3000
PADDING, CUTOUT = 4, 8
FILL = 230  # of the hole: the mean, below, in steps of 0 to 255
MEAN = (FILL / 255,) * 3
STD = (0.25, 0.25, 0.25)
ROWS, COLUMNS = (
    50,
    100,
)  # red is ROWS + row, green COLUMNS + column, so that neither looks like hole or border


def coded_image() -> np.ndarray:
    row, column = np.mgrid[:32, :32]
    return np.stack([ROWS + row, COLUMNS + column, np.full((32, 32), 10)], axis=-1).astype(np.uint8)


def read_back(images: torch.Tensor) -> dict[str, np.ndarray]:
    """The parameters of each of (N, 3, 32, 32) coded images, after checking that all of it fits together."""
    pixels = ((images * STD[0] + MEAN[0]) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    found: dict[str, list[int]] = {"top": [], "left": [], "flip": [], "hole_top": [], "hole_left": []}
    for image in pixels:
        hole_rows, hole_columns = np.nonzero((image == FILL).all(axis=-1))
        hole_top, hole_left = hole_rows.min(), hole_columns.min()
        assert len(hole_rows) == CUTOUT**2
        assert (hole_rows.max() - hole_top, hole_columns.max() - hole_left) == (CUTOUT - 1, CUTOUT - 1)
        rows, columns = np.nonzero(image[..., 2] == 10)
        red, green = image[rows, columns, 0].astype(int), image[rows, columns, 1].astype(int)
        same_row = rows == rows[0]
        flip = green[same_row][0] > green[same_row][-1]
        seen = 31 - columns if flip else columns
        top = np.unique(red - ROWS - rows + PADDING)
        left = np.unique(green - COLUMNS - seen + PADDING)
        assert len(top) == len(left) == 1
        assert not image[(image[..., 2] != 10) & (image[..., 2] != FILL)].any(), "the border is black"
        values = (top[0], left[0], flip, hole_top, hole_left)
        for name, value in zip(found, values, strict=True):
            found[name].append(int(value))
    return {name: np.array(values) for name, values in found.items()}


@pytest.fixture(scope="module")
def draws() -> dict[str, dict[str, np.ndarray]]:
    images = np.broadcast_to(coded_image(), (COUNT, 32, 32, 3))
    labels = np.zeros(COUNT, dtype=np.int64)
    augmentation = Augmentation(padding=PADDING, cutout=CUTOUT)
    options = {"mean": MEAN, "std": STD, "augmentation": augmentation, "seed": 0}
    tensor = TensorLoader(images, labels, batch_size=COUNT, **options)
    dataset = AlbumentationsDataset(Split(images, labels), **options)
    return {
        "tensor": read_back(tensor.batch(torch.arange(COUNT), epoch=0)),
        "albumentations": read_back(torch.stack([dataset[(0, position)][0] for position in range(COUNT)])),
    }


def deviations(statistic: float, freedom: int) -> float:
    """The number of standard deviations that a chi-square statistic lies above its mean."""
    return (statistic - freedom) / np.sqrt(2 * freedom)


CHOICES = {
    "top": 2 * PADDING + 1,
    "left": 2 * PADDING + 1,
    "flip": 2,
    "hole_top": 32 - CUTOUT + 1,
    "hole_left": 32 - CUTOUT + 1,
}
LIMIT = 4.5  # standard deviations; by chance less than once in 1000 such tests, and the seeds are fixed


@pytest.mark.parametrize("loader", ["tensor", "albumentations"])
def test_each_choice_is_equally_likely_and_independent_of_the_others(draws, loader):
    for name, choices in CHOICES.items():
        counts = np.bincount(draws[loader][name], minlength=choices)
        assert len(counts) == choices
        assert counts.min() > 0
        expected = COUNT / choices
        assert deviations(((counts - expected) ** 2 / expected).sum(), choices - 1) < LIMIT
    table = np.corrcoef([draws[loader][name] for name in CHOICES])
    # Of independent draws a correlation has the standard deviation 1 / sqrt(COUNT).
    assert np.abs(table - np.eye(len(CHOICES))).max() < LIMIT / np.sqrt(COUNT)
