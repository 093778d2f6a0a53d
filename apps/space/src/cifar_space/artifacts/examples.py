"""The files that come with the app: ten pictures (`assets/examples/ORIGIN.txt` says from where) and weights."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    # The command names these files before it imports torch, which this would bring.
    from cifar_explain import Gallery

#: The folder of everything that comes with the app: examples, and what is served by default.
ASSETS = Path(str(files("cifar_space"))) / "assets"

#: The folder of the built-in examples.
EXAMPLES = ASSETS / "examples"

#: The weights that are served unless others are asked for.
DEFAULT_WEIGHTS = ASSETS / "model.safetensors"


@dataclass(frozen=True)
class Example:
    """A picture to try.

    Attributes:
        path: Its file.
        title: What it shows.
    """

    path: Path
    title: str


def example_paths() -> tuple[Path, ...]:
    """Return the built-in examples, PNG files of 32x32 pixels named `<class>-<number>.png`, sorted by name.

    >>> [path.name for path in example_paths()][:2]
    ['airplane-10.png', 'automobile-09.png']
    """
    return tuple(sorted(EXAMPLES.glob("*.png")))


def built_in_examples() -> tuple[Example, ...]:
    """Return the built-in examples, titled with the class that their file is named after.

    >>> built_in_examples()[0].title
    'airplane'
    """
    return tuple(Example(path, path.stem.rpartition("-")[0]) for path in example_paths())


def write_examples(gallery: "Gallery", folder: Path) -> tuple[Example, ...]:
    """Write a gallery's rightly classified images, one for each class that has one, as PNG files.

    Args:
        gallery: With its images.
        folder: Where to write.

    Raises:
        ValueError: If the gallery has no images.
        OSError: If a file cannot be written.
    """
    written = []
    for title, index in gallery.examples.items():
        # A class may be called anything, and a file may not.
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', title)[:40]}-{index}.png"
        Image.fromarray(gallery.image(index)).save(path)
        written.append(Example(path, title))
    return tuple(written)
