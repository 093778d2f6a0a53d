"""Draw small pictures of a few shapes into class folders, as a stand-in for pictures of your own.

    uv run python examples/own_classes/draw_pictures.py data/pictures --classes circle square checks dots

writes `data/pictures/train/<class>/*.png` and `data/pictures/test/<class>/*.png`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cifar_data import SYNTHETIC_CLASSES, make_synthetic

TRAIN_PICTURES = 300  # of each class
TEST_PICTURES = 60


def draw_pictures(folder: Path, classes: Sequence[str]) -> int:
    """Write the pictures of these classes into class folders, and return how many there are."""
    shapes = len(SYNTHETIC_CLASSES)
    dataset = make_synthetic(TRAIN_PICTURES * shapes, TEST_PICTURES * shapes)
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
    parser = argparse.ArgumentParser(description="Draw small pictures of shapes into class folders.")
    parser.add_argument("folder", type=Path, help="where train/<class>/ and test/<class>/ go")
    parser.add_argument(
        "--classes",
        nargs="+",
        choices=SYNTHETIC_CLASSES,
        default=["circle", "square", "checks", "dots"],
        help="which shapes (default: %(default)s)",
    )
    arguments = parser.parse_args()
    count = draw_pictures(arguments.folder, arguments.classes)
    print(f"{count} pictures of {len(arguments.classes)} classes in {arguments.folder}")
