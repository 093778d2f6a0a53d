"""The files that the app serves: weights, and beside them, where there are any, a gallery and a report.

`load_service(files, limits=None)` of `cifar_space.service.service` makes a service of them, and
`start(service, host=..., port=...)` of `cifar_space.ui.server` serves its page.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from cifar_space.artifacts.examples import ASSETS, DEFAULT_WEIGHTS

_GALLERY_DATA = "gallery.npz"
_SUMMARY_JSON = "summary.json"


@dataclass(frozen=True)
class ServedFiles:
    """What belongs to one model.

    Attributes:
        weights: Its weights file.
        gallery: Folder with `gallery.npz` and, where the images of the errors are there too, `gallery.png`;
            None without a gallery.
        report: Folder with `summary.json` and `figures/`, in which each figure may be missing; None without a
            report.
    """

    weights: Path
    gallery: Path | None = None
    report: Path | None = None

    @property
    def gallery_command(self) -> str | None:
        """The command that makes the whole gallery, and so the images of the errors.

        None for the built-in files outside the source tree: a bundle or an installed package has no place for more.

        >>> ServedFiles(Path("my weights.safetensors")).gallery_command
        "uv run cifar-train gallery --weights 'my weights.safetensors' --out gallery"
        """
        weights, out = self.weights.as_posix(), "gallery"
        if self.weights == DEFAULT_WEIGHTS:
            if not in_source_tree(ASSETS):
                return None
            weights, out = "apps/space/assets/model.safetensors", "apps/space/assets/gallery"
        elif self.gallery is not None:
            out = self.gallery.as_posix()
        return shlex.join(["uv", "run", "cifar-train", "gallery", "--weights", weights, "--out", out])


def in_source_tree(path: Path) -> bool:
    """Return whether a file of this package lies where the repository has it.

    >>> in_source_tree(Path("/home/me/clone/apps/space/src/cifar_space/assets"))
    True
    >>> in_source_tree(Path("/venv/lib/python3.12/site-packages/cifar_space/assets"))
    False
    """
    return path.parts[-5:-1] == ("apps", "space", "src", "cifar_space")


def built_in() -> ServedFiles:
    """Return the files that come with the app.

    Raises:
        FileNotFoundError: If the app came without weights.
    """
    if not DEFAULT_WEIGHTS.is_file():
        raise FileNotFoundError(
            f"there are no built-in weights at {DEFAULT_WEIGHTS}; give --weights FILE or --run DIR"
        )
    return _with_neighbours(DEFAULT_WEIGHTS, ASSETS)


def of_run(run: str | os.PathLike[str]) -> ServedFiles:
    """Return the files of a run directory of `cifar-train`.

    Raises:
        FileNotFoundError: If the run has no weights.

    >>> of_run("no-such-run")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-run has no model.safetensors: it is no run directory, or its run is not finished
    """
    weights = Path(run) / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{os.fspath(run)} has no {weights.name}: it is no run directory, or its run is not finished"
        )
    return _with_neighbours(weights, Path(run))


def of_weights(path: str | os.PathLike[str]) -> ServedFiles:
    """Return a weights file alone, without gallery and report.

    Raises:
        FileNotFoundError: If there is no such file.

    >>> of_weights("no.safetensors")
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no file no.safetensors
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    return ServedFiles(Path(path))


def _with_neighbours(weights: Path, folder: Path) -> ServedFiles:
    gallery, report = folder / "gallery", folder / "report"
    return ServedFiles(
        weights,
        gallery=gallery if (gallery / _GALLERY_DATA).is_file() else None,
        report=report if (report / _SUMMARY_JSON).is_file() else None,
    )
