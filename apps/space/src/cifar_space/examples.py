"""The files that come with the app: ten pictures (`assets/examples/ORIGIN.txt` says from where) and weights."""

from pathlib import Path

#: The folder of everything that comes with the app: examples, and the weights served by default.
ASSETS = Path(__file__).parent / "assets"

#: The folder of the built-in examples.
EXAMPLES = ASSETS / "examples"

#: The weights that are served unless others are asked for.
DEFAULT_WEIGHTS = ASSETS / "model.safetensors"


def example_paths() -> tuple[Path, ...]:
    """Return the built-in examples, PNG files of 32x32 pixels named `<class>-<number>.png`, sorted by name.

    >>> [path.name for path in example_paths()][:2]
    ['airplane-10.png', 'automobile-09.png']
    """
    return tuple(sorted(EXAMPLES.glob("*.png")))


def example_title(path: Path) -> str:
    """Return what an example shows: the class that its file is named after.

    >>> example_title(Path("frog-07.png"))
    'frog'
    """
    return path.stem.rpartition("-")[0]
