"""The report's figures as PNG files, each for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from cifar_data import CIFAR10DataModule, render_preview
from cifar_explain import (
    THEMES,
    Theme,
    add_legend,
    add_title,
    find_theme,
    make_figure,
    plot_classes,
    plot_confusion,
    plot_errors,
    plot_faithfulness,
    plot_reliability,
    quiet_axes,
    reliability_curve,
)
from cifar_models.atomic import write_at_once
from cifar_train.report.analysis import Analysis
from cifar_train.runs.history import History, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: All figures, in the order of the page.
FIGURES = ("curves", "misclassified", "confusion", "classes", "reliability", "faithfulness", "augmentation")

# Epochs that the preview of the augmentation shows at most.
_PREVIEW_EPOCHS = 9

# The curve of single steps is their mean over this share of the run.
_SMOOTHING = 0.02


def write_figures(
    folder: Path, analysis: Analysis, *, history: History | None, datamodule: CIFAR10DataModule
) -> dict[str, tuple[Path, Path]]:
    """Writes `NAME.png` and `NAME-dark.png` of each figure, and returns both paths by name.

    There are no curves without a history, and no misclassified images without errors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    epochs = min(len(history.rows) if history and history.rows else _PREVIEW_EPOCHS, _PREVIEW_EPOCHS)

    def preview(theme: str) -> Image.Image:
        look = find_theme(theme)
        return render_preview(datamodule, columns=1 + epochs, scale=4, surface=look.surface, ink=look.ink)

    drawings: dict[str, Callable[[str], Figure | Image.Image]] = {
        **_drawings(analysis, history),
        "augmentation": preview,
    }
    written = {}
    for name in FIGURES:
        if name in drawings:
            written[name] = (folder / f"{name}.png", folder / f"{name}-dark.png")
            for path, theme in zip(written[name], THEMES, strict=True):
                buffer = io.BytesIO()
                drawn = drawings[name](theme)
                if isinstance(drawn, Image.Image):
                    drawn.save(buffer, "PNG", optimize=True)
                else:
                    drawn.savefig(buffer, format="png")
                write_at_once(path, buffer.getvalue())
    return written


def _drawings(analysis: Analysis, history: History | None) -> dict[str, Callable[[str], Figure]]:
    test, shown = analysis.test, analysis.shown
    curve = reliability_curve(test.probabilities, test.labels)
    calibrated = reliability_curve(analysis.calibrated, test.labels) if analysis.detector else None
    drawings: dict[str, Callable[[str], Figure]] = {
        "confusion": lambda theme: plot_confusion(
            analysis.confusion, class_names=test.class_names, theme=theme
        ),
        "classes": lambda theme: plot_classes(analysis.classes, theme=theme),
        "reliability": lambda theme: plot_reliability(curve, calibrated=calibrated, theme=theme),
        "faithfulness": lambda theme: plot_faithfulness(analysis.faithfulness, theme=theme),
    }
    if history is not None and history.rows:
        drawings["curves"] = lambda theme: plot_curves(history, theme=theme)
    if len(shown.errors):
        drawings["misclassified"] = lambda theme: plot_errors(
            shown.errors,
            shown.images,
            maps=shown.predicted,
            true_maps=shown.true,
            layers=tuple(analysis.layers),
            theme=theme,
        )
    return drawings


class _Line(NamedTuple):
    series: Series
    label: str
    colour: str
    marker: str = ""
    width: float = 1.8


def plot_curves(history: History, *, theme: str = "light") -> Figure:
    """Returns a figure of loss, accuracy, learning rate and momentum over the epochs; empty panels are left out.

    Raises:
        ValueError: If the theme is unknown or nothing was logged.
    """
    look = find_theme(theme)
    panels = {title: lines for title, lines in _panels(history, look).items() if lines}
    if not panels:
        raise ValueError("history holds no logged series, so there is nothing to draw")
    # Two to a row, so that they stay legible at the width of a page.
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_figure(height=3.0 * rows, theme=theme)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    last = max(float(line.series.epochs[-1]) for lines in panels.values() for line in lines)
    for number, (ax, (title, lines)) in enumerate(zip(axes, panels.items(), strict=False)):
        _draw(ax, title, lines, look)
        ax.set_xlim(0, last)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if number >= len(panels) - columns:
            ax.set_xlabel("epoch")
    return figure


def _panels(history: History, look: Theme) -> dict[str, list[_Line]]:
    metrics = history.epoch_metrics

    def both(train: str, val: str, scale: float = 1.0) -> list[_Line]:
        scaled = [Series(metrics[name].epochs, scale * metrics[name].values) for name in (train, val)]
        return [
            _Line(scaled[0], "training", look.accent, marker="o"),
            _Line(scaled[1], "validation", look.second, marker="o"),
        ]

    def groups(series: Mapping[str, Series]) -> list[_Line]:
        colours = [look.accent, look.second, look.muted, look.ink]
        # Lightning names a parameter group by optimizer and number, such as Muon/pg1.
        labels = [name.replace("/pg", ", group ") if len(series) > 1 else "" for name in series]
        return [
            _Line(one, label, colours[number % len(colours)])
            for number, (one, label) in enumerate(zip(series.values(), labels, strict=True))
        ]

    steps = _Line(_smoothed(history.step_loss), "training, single steps smoothed", look.muted, width=0.9)
    panels = {
        "Loss": [steps, *both("train_loss_epoch", "val_loss")],
        "Accuracy": both("train_accuracy", "val_accuracy", 100),
        "Learning rate": groups(history.learning_rates),
        "Momentum": groups(history.momenta),
    }
    return {title: [line for line in lines if len(line.series)] for title, lines in panels.items()}


def _smoothed(series: Series) -> Series:
    width = max(1, round(_SMOOTHING * len(series)))
    if width == 1:
        return series
    means = np.convolve(series.values, np.ones(width) / width, mode="valid")
    return Series(series.epochs[width - 1 :], means)


def _draw(ax: Axes, title: str, lines: Sequence[_Line], look: Theme) -> None:
    quiet_axes(ax, theme=look)
    add_title(ax, title, {"Loss": "nats", "Accuracy": "%"}.get(title, ""), theme=look)
    for line in lines:
        ax.plot(
            line.series.epochs,
            line.series.values,
            label=line.label or None,
            color=line.colour,
            linewidth=line.width,
            marker=line.marker,
            markersize=4,
            # The last epoch's mark lies on the edge.
            clip_on=False,
            zorder=3,
        )
    bottom, top = ax.get_ylim()
    if title in ("Learning rate", "Momentum"):
        # From zero, or a constant momentum would look like a schedule.
        ax.set_ylim(0, max(top, 1e-12))
    elif title == "Loss":
        ax.set_ylim(max(0.0, bottom), top)
    if any(line.label for line in lines):
        add_legend(ax, theme=look, loc="best")
