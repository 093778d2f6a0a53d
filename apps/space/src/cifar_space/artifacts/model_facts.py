"""All that is known of the model: from its weights file, its gallery and its report."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifar_explain import (
    ClassReport,
    Familiarity,
    Gallery,
    ReliabilityCurve,
    apply_temperature,
    class_reports,
    confusion_matrix,
    reliability_curve,
)
from cifar_models import Weights
from cifar_space.artifacts.report_files import Report

#: How to use the weights in Python; `model.safetensors` and `picture.png` are files.
USE = """\
import cifar_models, PIL.Image
weights = cifar_models.load_weights("model.safetensors")
print(weights.spec.classes[weights.model(weights.spec.preprocess(PIL.Image.open("picture.png"))[None]).argmax()])"""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far the probabilities can be believed.

    Attributes:
        plain: Accuracy by confidence as the model gives it.
        calibrated: The same after the temperature; None where that is unknown.
    """

    plain: ReliabilityCurve
    calibrated: ReliabilityCurve | None


@dataclass(frozen=True, eq=False)
class Facts:
    """The model's card.

    Attributes:
        architecture: Its name.
        arguments: What it was made with.
        parameters: How many trained numbers it has.
        sha256: Of the weights file.
        dtype: How the weights file stores the parameters.
        classes: Class names.
        size: Width and height in pixels of what it looks at.
        mean: Mean of each colour channel, black being 0 and white 1.
        std: Standard deviation of each colour channel on that scale.
        recipe: How it was trained.
        fingerprint: Of the data it was trained on; None where it is unknown.
        metrics: What it reached, by name: finite numbers only.
        split: Name of the split of the gallery; None without a gallery.
        classes_report: How well each class of the split is recognised; None without a gallery.
        calibration: On the split; None without a gallery.
        familiarity: When a picture counts as none of the classes; None where it is unknown.
        command: The command that trained it; None where it is unknown.
        starting_point: A command that trains with the same recipe, perhaps with other settings; None where
            `command` is known or no recipe is.
    """

    architecture: str
    arguments: Mapping[str, Any]
    parameters: int
    sha256: str
    dtype: str
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    recipe: Mapping[str, Any]
    fingerprint: str | None
    metrics: Mapping[str, float]
    split: str | None
    classes_report: tuple[ClassReport, ...] | None
    calibration: Calibration | None
    familiarity: Familiarity | None
    command: str | None
    starting_point: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; a rate of nothing is None."""
        plain = self.calibration.plain if self.calibration else None
        calibrated = self.calibration.calibrated if self.calibration else None
        return {
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "parameters": self.parameters,
            "sha256": self.sha256,
            "dtype": self.dtype,
            "input": {"size": self.size, "mean": list(self.mean), "std": list(self.std)},
            "classes": list(self.classes),
            "recipe": dict(self.recipe),
            "data_fingerprint": self.fingerprint,
            "metrics": dict(self.metrics),
            "split": self.split,
            "per_class": [_plain_report(report) for report in self.classes_report or ()],
            "calibration_error": plain and plain.calibration_error,
            "calibration_error_calibrated": calibrated and calibrated.calibration_error,
            "familiarity": self.familiarity and self.familiarity.to_dict(),
            "command": self.command,
            "starting_point": self.starting_point,
            "use": USE,
        }


def gather_facts(
    weights: Weights,
    *,
    gallery: Gallery | None = None,
    report: Report | None = None,
    familiarity: Familiarity | None = None,
) -> Facts:
    """Return all that is known of a model.

    Args:
        weights: Its weights file.
        gallery: Its predictions.
        report: Of the run that trained it.
        familiarity: When a picture counts as none of its classes.
    """
    fingerprint = weights.metrics.get("data_fingerprint")
    command = report.command if report else None
    return Facts(
        architecture=weights.architecture,
        arguments=weights.arguments,
        parameters=sum(parameter.numel() for parameter in weights.model.parameters()),
        sha256=weights.sha256,
        dtype=weights.dtype,
        classes=weights.spec.classes,
        size=weights.spec.size,
        mean=weights.spec.mean,
        std=weights.spec.std,
        recipe=weights.recipe,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        metrics={name: float(value) for name, value in weights.metrics.items() if _is_number(value)},
        split=gallery.split if gallery else None,
        classes_report=_class_reports(gallery) if gallery else None,
        calibration=_calibration(gallery, familiarity) if gallery else None,
        familiarity=familiarity,
        command=command,
        starting_point=None if command else _starting_point(weights.recipe.get("recipe")),
    )


def _class_reports(gallery: Gallery) -> tuple[ClassReport, ...]:
    names = gallery.class_names
    matrix = confusion_matrix(gallery.labels, gallery.probabilities.argmax(axis=1), classes=len(names))
    return class_reports(matrix, class_names=names)


def _calibration(gallery: Gallery, familiarity: Familiarity | None) -> Calibration:
    rows, labels = gallery.probabilities, gallery.labels
    return Calibration(
        plain=reliability_curve(rows, labels),
        calibrated=(
            None
            if familiarity is None
            else reliability_curve(apply_temperature(rows, familiarity.temperature), labels)
        ),
    )


def _starting_point(recipe: Any) -> str | None:
    # The name goes into a command that people may paste into a shell.
    if not isinstance(recipe, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", recipe, re.ASCII):
        return None
    return f"uv run cifar-train --recipe {recipe}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain_report(report: ClassReport) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in vars(report).items()
    }
