"""The facts about a model, from its weights file, its gallery and its report."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifar_explain import (
    ClassReport,
    Gallery,
    OODDetector,
    ReliabilityCurve,
    apply_temperature,
    class_reports,
    confusion_matrix,
    reliability_curve,
)
from cifar_models import Weights
from cifar_space.artifacts.files import Report

#: Example of using the weights in Python; `model.safetensors` and `image.png` are files.
USE = """\
import cifar_models, PIL.Image
weights = cifar_models.load_weights("model.safetensors")
print(weights.spec.classes[weights.model(weights.spec.preprocess(PIL.Image.open("image.png"))[None]).argmax()])"""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Accuracy by confidence, as the model gives it and, if a temperature is known, calibrated."""

    plain: ReliabilityCurve
    calibrated: ReliabilityCurve | None


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts about a model beyond its weights' header.

    Attributes:
        parameters: Number of trained parameters.
        fingerprint: Of the training data.
        metrics: The weights' metrics that are finite numbers.
        split: Name of the gallery's split; None without a gallery, as are the next two.
        classes_report: Precision and recall of each class on the split.
        calibration: On the split.
        command: The command that trained it.
        starting_point: A command that trains with the same recipe, perhaps with other settings; None if
            `command` is known or no recipe is.
    """

    weights: Weights
    parameters: int
    fingerprint: str | None
    metrics: Mapping[str, float]
    split: str | None
    classes_report: tuple[ClassReport, ...] | None
    calibration: Calibration | None
    ood_detector: OODDetector | None
    command: str | None
    starting_point: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON; undefined rates are None."""
        weights, spec = self.weights, self.weights.spec
        plain = self.calibration and self.calibration.plain
        calibrated = self.calibration and self.calibration.calibrated
        return {
            "architecture": weights.architecture,
            "arguments": dict(weights.arguments),
            "parameters": self.parameters,
            "sha256": weights.sha256,
            "dtype": weights.dtype,
            "input": {"size": spec.size, "mean": list(spec.mean), "std": list(spec.std)},
            "classes": list(spec.classes),
            "recipe": dict(weights.recipe),
            "data_fingerprint": self.fingerprint,
            "metrics": dict(self.metrics),
            "split": self.split,
            "per_class": [
                {name: None if value != value else value for name, value in vars(report).items()}
                for report in self.classes_report or ()
            ],
            "calibration_error": plain and plain.calibration_error,
            "calibration_error_calibrated": calibrated and calibrated.calibration_error,
            "familiarity": self.ood_detector and self.ood_detector.to_dict(),
            "command": self.command,
            "starting_point": self.starting_point,
            "use": USE,
        }


def gather_facts(
    weights: Weights,
    *,
    gallery: Gallery | None = None,
    report: Report | None = None,
    ood_detector: OODDetector | None = None,
) -> Facts:
    """Returns the facts about a model, from those of its files that there are."""
    classes_report = calibration = None
    if gallery is not None:
        rows, labels, names = gallery.probabilities, gallery.labels, gallery.class_names
        matrix = confusion_matrix(labels, rows.argmax(axis=1), classes=len(names))
        classes_report = class_reports(matrix, class_names=names)
        calibrated = None
        if ood_detector is not None:
            calibrated = reliability_curve(apply_temperature(rows, ood_detector.temperature), labels)
        calibration = Calibration(reliability_curve(rows, labels), calibrated)
    fingerprint, recipe = weights.metrics.get("data_fingerprint"), weights.recipe.get("recipe")
    command = report.command if report else None
    # The name goes into a command that people may paste into a shell.
    named = isinstance(recipe, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*", recipe, re.ASCII)
    return Facts(
        weights=weights,
        parameters=sum(parameter.numel() for parameter in weights.model.parameters()),
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        metrics={
            name: float(value)
            for name, value in weights.metrics.items()
            if type(value) in (int, float) and math.isfinite(value)
        },
        split=gallery.split if gallery else None,
        classes_report=classes_report,
        calibration=calibration,
        ood_detector=ood_detector,
        command=command,
        starting_point=f"uv run cifar-train --recipe {recipe}" if named and not command else None,
    )
