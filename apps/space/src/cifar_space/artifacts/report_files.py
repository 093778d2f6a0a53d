"""A run's report: `summary.json`, field by field, and the figures that are there."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

#: The figures that a report may have, without the ending; each has a twin `<name>-dark`.
FIGURES = ("curves", "confusion", "classes", "reliability", "misclassified", "faithfulness", "augmentation")

# Room for the confusion matrix of a thousand classes, which takes about 12 bytes a cell.
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class Figure:
    """A picture of the report.

    Attributes:
        light: PNG file for a light page.
        dark: PNG file for a dark one; the same as `light` where there is no other.
    """

    light: Path
    dark: Path


@dataclass(frozen=True)
class Report:
    """What a run says about itself.

    Attributes:
        summary: The fields of `summary.json` as they are: whoever uses one has to look what it is.
        figures: Figures by name, those of `FIGURES` that are there.
    """

    summary: Mapping[str, Any]
    figures: Mapping[str, Figure]

    @property
    def command(self) -> str | None:
        """The command that repeats the run, for a shell; None where the summary has none."""
        words = self.summary.get("command")
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            return None
        # The first word is wherever the command happened to be installed.
        return shlex.join(["uv", "run", Path(words[0]).name, *words[1:]])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of all figures."""
        return tuple(path for figure in self.figures.values() for path in (figure.light, figure.dark))


def read_report(folder: str | Path) -> Report:
    """Return the report in a folder.

    Raises:
        ValueError: If `summary.json` is no JSON object; the message names the file.
        OSError: If it is missing or cannot be read.
    """
    path = Path(folder).resolve() / "summary.json"
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path} has more than {_MAX_BYTES} bytes")
    try:
        summary = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{path} must hold an object, got {type(summary).__name__}")  # noqa: TRY004
    return Report(summary, _figures(path.parent / "figures"))


def _figures(folder: Path) -> dict[str, Figure]:
    found = {}
    for name in FIGURES:
        light, dark = folder / f"{name}.png", folder / f"{name}-dark.png"
        if light.is_file():
            found[name] = Figure(light, dark if dark.is_file() else light)
    return found


def _refuse_constant(name: str) -> NoReturn:
    # Earlier versions of cifar-train wrote it for the precision of a class that is never predicted.
    raise ValueError(f"{name} is not allowed; cifar-train report writes the run's report again, without it")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
