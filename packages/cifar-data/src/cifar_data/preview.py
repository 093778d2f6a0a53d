"""A picture of what the augmentation does: some training images beside what they become."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.utils.data import DataLoader

from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.loaders.factory import Batches
from cifar_data.loaders.tensor import TensorLoader
from cifar_data.seeding import derive_generator
from cifar_data.validation import check_integer

_MARGIN = 12  # pixels around the table
_GAP = 4  # pixels between pictures
_TEXT = 5  # height of the letters in pixels of an image, so that they grow with the pictures


def render_preview(
    datamodule: CIFAR10DataModule,
    *,
    rows: int = 4,
    columns: int = 10,
    scale: int = 3,
    surface: str = "white",
    ink: str = "#282828",
) -> Image.Image:
    """Draw a table: each row a training image as it is, then as it is in the first epochs.

    Args:
        datamodule: Whose training images are drawn, through its own loader; its seed chooses the images.
        rows: Number of images, each of another class while the classes last; at least 1.
        columns: Number of pictures of each, the original included; at least 2.
        scale: Width in pixels of one pixel of an image, at least 1.
        surface: Colour around the pictures, a name or a hexadecimal code as Pillow takes it.
        ink: Colour of the words.

    Returns:
        An RGB picture.

    Raises:
        ValueError: If an argument is out of its range or a colour unknown.
    """
    check_integer("rows", rows, low=1, high=datamodule.train_size)
    check_integer("columns", columns, low=2)
    check_integer("scale", scale, low=1)
    positions = _choose_rows(datamodule, rows)
    indices = datamodule.train_indices[positions]
    originals = datamodule.dataset.train.images[indices]
    loader = datamodule.train_dataloader()
    epochs = [
        _augmented(datamodule, loader, positions=positions, epoch=epoch) for epoch in range(columns - 1)
    ]
    names = [datamodule.classes[label] for label in datamodule.dataset.train.labels[indices]]
    heads = ["original", *(f"epoch {epoch}" for epoch in range(1, columns))]
    table = np.stack([originals, *epochs], axis=1)
    return _draw_table(table, names=names, heads=heads, scale=scale, surface=surface, ink=ink)


def _choose_rows(datamodule: CIFAR10DataModule, rows: int) -> list[int]:
    """Positions among the images trained on: one of each class in turn, in a random order."""
    labels = datamodule.dataset.train.labels[datamodule.train_indices]
    order = derive_generator(datamodule.seed, "preview").permutation(len(labels))
    rounds = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        rounds[of_class] = np.arange(len(of_class))
    chosen = sorted(
        order[np.argsort(rounds[order], kind="stable")[:rows]], key=lambda position: labels[position]
    )
    return [int(position) for position in chosen]


def _augmented(
    datamodule: CIFAR10DataModule, loader: Batches, *, positions: list[int], epoch: int
) -> npt.NDArray[np.uint8]:
    """What the loader gives for these images in an epoch, uint8 (n, 32, 32, 3)."""
    if isinstance(loader, TensorLoader):
        images = loader.batch(torch.tensor(positions), epoch=epoch)
    else:
        dataset = cast("DataLoader[Any]", loader).dataset
        images = torch.stack([dataset[(epoch, position)][0] for position in positions])
    mean = torch.tensor(datamodule.mean).view(3, 1, 1)
    std = torch.tensor(datamodule.std).view(3, 1, 1)
    pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).numpy()


def _draw_table(
    pictures: npt.NDArray[np.uint8], *, names: list[str], heads: list[str], scale: int, surface: str, ink: str
) -> Image.Image:
    """Draw (rows, columns, H, W, 3) pictures with the names of the rows and the heads of the columns."""
    rows, columns, height, width, _ = pictures.shape
    text = max(13, _TEXT * scale)
    font = ImageFont.load_default(text)
    cell = max(width * scale, *(int(font.getlength(head)) for head in heads)) + _GAP
    left = _MARGIN + max(int(font.getlength(name)) for name in names) + 2 * _GAP
    top = _MARGIN + text + 2 * _GAP
    # The originals stand apart from what becomes of them.
    lefts = [left + column * cell + (2 * _GAP if column else 0) for column in range(columns)]
    size = (lefts[-1] + cell - _GAP + _MARGIN, top + rows * (height * scale + _GAP) - _GAP + _MARGIN)
    table = Image.new("RGB", size, surface)
    draw = ImageDraw.Draw(table)
    for x, head in zip(lefts, heads, strict=True):
        draw.text((x, top - 2 * _GAP), head, fill=ink, font=font, anchor="ls")
    for row, name in enumerate(names):
        y = top + row * (height * scale + _GAP)
        draw.text((left - 2 * _GAP, y + height * scale // 2), name, fill=ink, font=font, anchor="rm")
        for x, pixels in zip(lefts, pictures[row], strict=True):
            picture = Image.fromarray(pixels).resize(
                (width * scale, height * scale), Image.Resampling.NEAREST
            )
            table.paste(picture, (x, y))
    return table
