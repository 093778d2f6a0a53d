"""An image of the augmentation: some training images beside their versions in the first epochs."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.dataset.arrays import SIDE
from cifar_data.dataset.split import stratified_split
from cifar_data.loaders.tensor import TensorLoader
from cifar_data.validation import check_integer

_MARGIN = 12  # pixels around the table
_GAP = 4  # pixels between images
_TEXT = 5  # height of the letters in pixels of an image, so that they are magnified too


def render_preview(
    datamodule: CIFAR10DataModule,
    *,
    rows: int = 4,
    columns: int = 10,
    scale: int = 3,
    surface: str = "white",
    ink: str = "#282828",
) -> Image.Image:
    """Draws a table: each row a training image as it is, then its versions in the first epochs.

    Args:
        datamodule: Its loader augments the images, and its seed chooses them.
        rows: Number of images, in proportion to the classes; at least 1.
        columns: Number of versions of each, the original included; at least 2.
        scale: Width in pixels of one pixel of an image, at least 1.
        surface: Colour of the background, as Pillow takes it.
        ink: Colour of the text.
    """
    check_integer("rows", rows, low=1, high=datamodule.train_size)
    check_integer("columns", columns, low=2)
    check_integer("scale", scale, low=1)
    train, trained = datamodule.dataset.train, datamodule.train_indices
    _, chosen = stratified_split(train.labels[trained], val_size=rows, seed=datamodule.seed)
    positions = chosen[np.argsort(train.labels[trained[chosen]], kind="stable")]
    names = [datamodule.classes[label] for label in train.labels[trained[positions]]]
    loader = datamodule.train_dataloader()
    versions = {"original": train.images[trained[positions]]}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (datamodule.mean, datamodule.std))
    for epoch in range(columns - 1):
        pixels = (_augmented(loader, positions.tolist(), epoch) * std + mean) * 255
        versions[f"epoch {epoch + 1}"] = pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()

    text, side = max(13, _TEXT * scale), SIDE * scale
    font = ImageFont.load_default(text)
    cell = max(side, *(int(font.getlength(head)) for head in versions)) + _GAP
    left = _MARGIN + max(int(font.getlength(name)) for name in names) + 2 * _GAP
    top = _MARGIN + text + 2 * _GAP
    # The originals stand apart from their versions, by two gaps.
    size = (left + columns * cell + _GAP + _MARGIN, top + rows * (side + _GAP) - _GAP + _MARGIN)
    table = Image.new("RGB", size, surface)
    draw = ImageDraw.Draw(table)
    for row, name in enumerate(names):
        middle = top + row * (side + _GAP) + side // 2
        draw.text((left - 2 * _GAP, middle), name, fill=ink, font=font, anchor="rm")
    for column, (head, images) in enumerate(versions.items()):
        x = left + column * cell + (2 * _GAP if column else 0)
        draw.text((x, top - 2 * _GAP), head, fill=ink, font=font, anchor="ls")
        for row, pixels in enumerate(images.repeat(scale, axis=1).repeat(scale, axis=2)):
            table.paste(Image.fromarray(pixels), (x, top + row * (side + _GAP)))
    return table


def _augmented(loader: Any, positions: list[int], epoch: int) -> torch.Tensor:
    """Returns the normalised images (n, 3, 32, 32) as the loader yields them in an epoch."""
    if isinstance(loader, TensorLoader):
        return loader.batch(torch.tensor(positions), epoch=epoch)
    return torch.stack([loader.dataset[(epoch, position)][0] for position in positions])
