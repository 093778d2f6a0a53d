"""The report's figures as PNG files, each for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_data import CIFAR10DataModule, render_preview
from cifar_explain import (
    THEMES,
    class_reports,
    confusion_matrix,
    find_theme,
    plot_classes,
    plot_confusion,
    plot_errors,
    plot_faithfulness,
    plot_reliability,
    reliability_curve,
)
from cifar_models.atomic import write_at_once
from cifar_train.report.analysis import Findings
from cifar_train.report.curves import plot_curves
from cifar_train.report.sections import calibrated_probabilities
from cifar_train.runs.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: All figures, in the order of the page.
FIGURES = ("curves", "misclassified", "confusion", "classes", "reliability", "faithfulness", "augmentation")

# Epochs that the preview of the augmentation shows at most.
_PREVIEW_EPOCHS = 9


def write_figures(
    folder: Path, findings: Findings, *, history: History | None, datamodule: CIFAR10DataModule
) -> dict[str, tuple[Path, Path]]:
    """Write `NAME.png` and `NAME-dark.png` of each figure; what there is nothing to draw of is left out.

    Args:
        folder: Made if missing.
        findings: What was found out about the weights.
        history: The run's curves.
        datamodule: The data, for the preview of the augmentation.

    Returns:
        Both paths by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, draw in _figures(findings, history).items():
        paths = (folder / f"{name}.png", folder / f"{name}-dark.png")
        for path, theme in zip(paths, THEMES, strict=True):
            buffer = io.BytesIO()
            draw(theme).savefig(buffer, format="png")
            write_at_once(path, buffer.getvalue())
        written[name] = paths
    epochs = len(history.rows) if history is not None and history.rows else _PREVIEW_EPOCHS
    written["augmentation"] = _preview(folder, datamodule, epochs=min(epochs, _PREVIEW_EPOCHS))
    return {name: written[name] for name in FIGURES if name in written}


def _figures(findings: Findings, history: History | None) -> Mapping[str, Callable[[str], Figure]]:
    test, shown = findings.test, findings.shown
    matrix = confusion_matrix(test.labels, test.predictions, classes=test.probabilities.shape[1])
    drawn: dict[str, Callable[[str], Figure]] = {
        "confusion": lambda theme: plot_confusion(matrix, class_names=test.class_names, theme=theme),
        "classes": lambda theme: plot_classes(
            class_reports(matrix, class_names=test.class_names), theme=theme
        ),
        "reliability": lambda theme: plot_reliability(
            reliability_curve(test.probabilities, test.labels),
            calibrated=reliability_curve(calibrated_probabilities(findings), test.labels)
            if findings.familiarity
            else None,
            theme=theme,
        ),
        "faithfulness": lambda theme: plot_faithfulness(findings.faithfulness, theme=theme),
    }
    if history is not None and history.rows:
        drawn["curves"] = lambda theme: plot_curves(history, theme=theme)
    if len(shown.errors):
        drawn["misclassified"] = lambda theme: plot_errors(
            shown.errors,
            shown.images,
            maps=shown.predicted,
            true_maps=shown.true,
            layers=tuple(findings.layers),
            theme=theme,
        )
    return drawn


def _preview(folder: Path, datamodule: CIFAR10DataModule, *, epochs: int) -> tuple[Path, Path]:
    paths = (folder / "augmentation.png", folder / "augmentation-dark.png")
    for path, theme in zip(paths, THEMES, strict=True):
        look = find_theme(theme)
        buffer = io.BytesIO()
        picture = render_preview(datamodule, columns=1 + epochs, scale=4, surface=look.surface, ink=look.ink)
        picture.save(buffer, "PNG", optimize=True)
        write_at_once(path, buffer.getvalue())
    return paths
