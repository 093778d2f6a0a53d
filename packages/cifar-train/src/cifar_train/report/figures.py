"""The report's figures as PNG files, each for light and for dark pages."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from matplotlib.figure import Figure

# Draws a figure in a theme.
_Drawing = Callable[[str], "Figure | Image.Image"]

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
    written = {}
    for name, draw in _drawings(analysis, history, datamodule).items():
        written[name] = (folder / f"{name}.png", folder / f"{name}-dark.png")
        for path, theme in zip(written[name], THEMES, strict=True):
            buffer, drawn = io.BytesIO(), draw(theme)
            save = drawn.save if isinstance(drawn, Image.Image) else drawn.savefig
            save(buffer, format="png")
            write_at_once(path, buffer.getvalue())
    return written


def _drawings(
    analysis: Analysis, history: History | None, datamodule: CIFAR10DataModule
) -> dict[str, _Drawing]:
    test, shown = analysis.test, analysis.shown
    curve = reliability_curve(test.probabilities, test.labels)
    calibrated = reliability_curve(analysis.calibrated, test.labels) if analysis.detector else None
    epochs = min(len(history.rows) if history and history.rows else _PREVIEW_EPOCHS, _PREVIEW_EPOCHS)

    def preview(theme: str) -> Image.Image:
        look = find_theme(theme)
        return render_preview(datamodule, columns=1 + epochs, scale=4, surface=look.surface, ink=look.ink)

    drawings: dict[str, _Drawing] = {
        "confusion": lambda theme: plot_confusion(
            analysis.confusion, class_names=test.class_names, theme=theme
        ),
        "classes": lambda theme: plot_classes(analysis.classes, theme=theme),
        "reliability": lambda theme: plot_reliability(curve, calibrated=calibrated, theme=theme),
        "faithfulness": lambda theme: plot_faithfulness(analysis.faithfulness, theme=theme),
        "augmentation": preview,
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


def plot_curves(history: History, *, theme: str = "light") -> Figure:
    """Returns a figure of loss, accuracy, learning rate and momentum over the epochs, without empty panels."""
    look = find_theme(theme)
    panels = {
        title: kept
        for title, lines in _panels(history, look).items()
        if (kept := [(series, style) for series, style in lines if len(series)])
    }
    last = max(series.epochs[-1] for lines in panels.values() for series, _ in lines)
    # Two to a row, so that they stay legible at the width of a page.
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_figure(height=3.0 * rows, theme=look)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[len(panels) - columns : len(panels)]:
        ax.set_xlabel("epoch")
    for ax, (title, lines) in zip(axes, panels.items(), strict=False):
        quiet_axes(ax, theme=look)
        add_title(ax, title, theme=look)
        for series, style in lines:
            # The last epoch's mark lies on the edge.
            ax.plot(series.epochs, series.values, markersize=4, clip_on=False, zorder=3, **style)
        ax.set_xlim(0, last)
        ax.xaxis.get_major_locator().set_params(integer=True)
        bottom, top = ax.get_ylim()
        if title == "Loss (nats)":
            ax.set_ylim(max(0.0, bottom), top)
        elif title == "Accuracy":
            ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        else:
            # From zero, or a constant momentum would look like a schedule.
            ax.set_ylim(0, max(top, 1e-12))
        if any(style["label"] for _, style in lines):
            add_legend(ax, theme=look, loc="best")
    return figure


def _panels(history: History, look: Theme) -> dict[str, list[tuple[Series, dict[str, Any]]]]:
    """Returns the lines of each panel, and how they are drawn."""
    metrics = history.epoch_metrics
    steps = {"label": "training, single steps smoothed", "color": look.muted, "linewidth": 0.9}
    training = {"label": "training", "color": look.accent, "marker": "o"}
    validation = {"label": "validation", "color": look.second, "marker": "o"}
    colours = (look.accent, look.second, look.muted, look.ink)

    def groups(series: Mapping[str, Series]) -> list[tuple[Series, dict[str, Any]]]:
        # Lightning names a parameter group by optimizer and number, such as Muon/pg1.
        labels = [name.replace("/pg", ", group ") if len(series) > 1 else None for name in series]
        return [
            (one, {"label": label, "color": colour})
            for one, label, colour in zip(series.values(), labels, itertools.cycle(colours), strict=False)
        ]

    return {
        "Loss (nats)": [
            (_smoothed(history.step_loss), steps),
            (metrics["train_loss_epoch"], training),
            (metrics["val_loss"], validation),
        ],
        "Accuracy": [(metrics["train_accuracy"], training), (metrics["val_accuracy"], validation)],
        "Learning rate": groups(history.learning_rates),
        "Momentum": groups(history.momenta),
    }


def _smoothed(series: Series) -> Series:
    width = max(1, round(_SMOOTHING * len(series)))
    if width == 1:
        return series
    means = np.convolve(series.values, np.ones(width) / width, mode="valid")
    return Series(series.epochs[width - 1 :], means)
