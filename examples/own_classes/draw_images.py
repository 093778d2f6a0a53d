"""Draws small images of shapes into class folders, in place of images of your own.

    uv run python examples/own_classes/draw_images.py data/shapes --classes circle square checks dots

writes `data/shapes/train/<class>/*.png` and `data/shapes/test/<class>/*.png`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cifar_data import SYNTHETIC_CLASSES, make_synthetic

TRAIN_IMAGES = 300  # per class
TEST_IMAGES = 60


def draw_images(folder: Path, classes: Sequence[str]) -> int:
    """Writes images of these classes into class folders and returns how many."""
    shapes = len(SYNTHETIC_CLASSES)
    dataset = make_synthetic(TRAIN_IMAGES * shapes, TEST_IMAGES * shapes)
    written = 0
    for part, split in {"train": dataset.train, "test": dataset.test}.items():
        for name in classes:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
        for number, (pixels, label) in enumerate(zip(split.images, split.labels, strict=True)):
            name = dataset.classes[label]
            if name in classes:
                Image.fromarray(pixels).save(folder / part / name / f"{number:05}.png")
                written += 1
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw small images of shapes into class folders.")
    parser.add_argument("folder", type=Path, help="gets train/<class>/ and test/<class>/")
    parser.add_argument(
        "--classes",
        nargs="+",
        choices=SYNTHETIC_CLASSES,
        default=["circle", "square", "checks", "dots"],
        help="shapes to draw (default: %(default)s)",
    )
    arguments = parser.parse_args()
    count = draw_images(arguments.folder, arguments.classes)
    print(f"{count} images of {len(arguments.classes)} classes in {arguments.folder}")
