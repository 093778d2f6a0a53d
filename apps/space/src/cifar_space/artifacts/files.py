"""The files that the app serves: weights, gallery, report, examples. Importing this does not import torch."""

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from cifar_explain import Gallery

#: The folder of everything that comes with the app: examples, and what is served by default.
ASSETS = Path(__file__).parents[1] / "assets"

#: The weights that are served by default.
DEFAULT_WEIGHTS = ASSETS / "model.safetensors"

#: Captions of the figures that a report may have, by file name without the ending; each may have a twin `<name>-dark`.
FIGURES = {
    "curves": "Loss and accuracy during training",
    "confusion": "Confusion matrix",
    "classes": "Precision and recall of each class",
    "reliability": "Reliability diagram",
    "misclassified": "Misclassified test images with maps",
    "faithfulness": "Faithfulness of the maps of each method and layer",
    "augmentation": "Training images after augmentation",
}


@dataclass(frozen=True)
class ServedFiles:
    """The files of one model.

    Attributes:
        weights: Its weights file.
        gallery: Folder with `gallery.npz` and, if the images of the errors are there too, `gallery.png`.
        report: Folder with `summary.json` and `figures/`, in which each figure may be missing.
        images: File or folder of CIFAR-10's test images, for a gallery without them; None to look in the default
            places of `find_test_images`.
        fetch_images: Whether to fetch them from the Hub if they are not there.
    """

    weights: Path
    gallery: Path | None = None
    report: Path | None = None
    images: Path | None = None
    fetch_images: bool = False

    @property
    def gallery_command(self) -> str | None:
        """The command that makes the whole gallery, with the images of the errors.

        None for the built-in files outside the source tree: a bundle or an installed package has no place for more.

        >>> ServedFiles(Path("my weights.safetensors")).gallery_command
        "uv run cifar-train gallery --weights 'my weights.safetensors' --out gallery"
        """
        weights, out = self.weights.as_posix(), "gallery"
        if self.weights == DEFAULT_WEIGHTS:
            if ASSETS.parts[-5:-1] != ("apps", "space", "src", "cifar_space"):
                return None
            weights, out = "apps/space/assets/model.safetensors", "apps/space/assets/gallery"
        elif self.gallery is not None:
            out = self.gallery.as_posix()
        elif (self.weights.parent / "config.yaml").is_file():  # of a run
            return shlex.join(["uv", "run", "cifar-train", "report", self.weights.parent.as_posix()])
        return shlex.join(["uv", "run", "cifar-train", "gallery", "--weights", weights, "--out", out])


@dataclass(frozen=True)
class Figure:
    """A report's figure: its PNG files for light and for dark pages, the same one twice if there is no other."""

    caption: str
    light: Path
    dark: Path


@dataclass(frozen=True)
class Report:
    """The unchecked fields of a run's `summary.json`, and those of `FIGURES` that are there, by name."""

    summary: Mapping[str, Any]
    figures: Mapping[str, Figure]

    @property
    def command(self) -> str | None:
        """The command that repeats the run, for a shell; None if the summary has none."""
        words = self.summary.get("command")
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            return None
        # The first word is wherever the command happened to be installed. Who repeats a run wants its report too.
        command = shlex.join(["uv", "run", Path(words[0]).name, *words[1:]])
        return re.sub(r" --report[ =]false(?= |$)", "", command)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of all figures."""
        return tuple(path for figure in self.figures.values() for path in (figure.light, figure.dark))


@dataclass(frozen=True)
class Example:
    """An image to try, titled with its class."""

    path: Path
    title: str


def built_in() -> ServedFiles:
    """Returns the files that come with the app; raises `FileNotFoundError` if it came without weights."""
    if not DEFAULT_WEIGHTS.is_file():
        raise FileNotFoundError(
            f"there are no built-in weights at {DEFAULT_WEIGHTS}; give --weights FILE or --run DIR"
        )
    return _with_neighbours(DEFAULT_WEIGHTS)


def of_run(run: str | os.PathLike[str]) -> ServedFiles:
    """Returns the files of a run directory of `cifar-train`; raises `FileNotFoundError` if it has no weights."""
    weights = Path(run) / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{os.fspath(run)} has no {weights.name}: it is no run directory, or its run is not finished"
        )
    return _with_neighbours(weights)


def _with_neighbours(weights: Path) -> ServedFiles:
    gallery, report = weights.with_name("gallery"), weights.with_name("report")
    return ServedFiles(
        weights,
        gallery=gallery if (gallery / "gallery.npz").is_file() else None,
        report=report if (report / "summary.json").is_file() else None,
    )


def of_weights(path: str | os.PathLike[str]) -> ServedFiles:
    """Returns a weights file alone, without gallery and report; raises `FileNotFoundError` if there is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    return ServedFiles(Path(path))


def read_report(folder: str | os.PathLike[str]) -> Report:
    """Returns the report in a folder; raises `ValueError` if its `summary.json` is no JSON object."""
    path = Path(folder).resolve() / "summary.json"
    try:
        summary = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{path} must hold an object, got {type(summary).__name__}")  # noqa: TRY004
    figures = {}
    for name, caption in FIGURES.items():
        light, dark = (path.parent / "figures" / f"{name}{ending}.png" for ending in ("", "-dark"))
        if light.is_file():
            figures[name] = Figure(caption, light, dark if dark.is_file() else light)
    return Report(summary, figures)


def example_paths() -> tuple[Path, ...]:
    """Returns the built-in examples, PNG files of 32x32 pixels named `<class>-<number>.png`, sorted by name."""
    return tuple(sorted((ASSETS / "examples").glob("*.png")))


def built_in_examples() -> tuple[Example, ...]:
    """Returns the built-in examples, titled with their class."""
    return tuple(Example(path, path.stem.rpartition("-")[0]) for path in example_paths())


def write_examples(gallery: "Gallery", folder: Path) -> tuple[Example, ...]:
    """Writes a gallery's correctly classified images, one of each class that has one, as PNG files."""
    written = []
    for title, index in gallery.examples.items():
        # A class may be called anything, and a file may not.
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', title)[:40]}-{index}.png"
        Image.fromarray(gallery.image(index)).save(path)
        written.append(Example(path, title))
    return tuple(written)
