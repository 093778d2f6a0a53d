"""The report's figures as PNG files, each for light and for dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    make_figure,
    plot_classes,
    plot_confusion,
    plot_errors,
    plot_faithfulness,
    plot_reliability,
    quiet_axes,
    reliability_curve,
)
from cifar_train.report.analysis import Analysis
from cifar_train.runs.history import History, Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figures(
    folder: Path, analysis: Analysis, *, history: History | None, datamodule: CIFAR10DataModule
) -> dict[str, tuple[Path, Path]]:
    """Writes `NAME.png` and `NAME-dark.png` of each figure, and returns both paths by name.

    There are no curves without a history, and no misclassified images without errors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for theme, suffix in (("light", ""), ("dark", "-dark")):
        for name, drawn in _draw(analysis, history, datamodule, THEMES[theme]):
            save = drawn.save if isinstance(drawn, Image.Image) else drawn.savefig
            save(folder / f"{name}{suffix}.png")
            names.append(name)
    return {name: (folder / f"{name}.png", folder / f"{name}-dark.png") for name in names}


def _draw(
    analysis: Analysis, history: History | None, datamodule: CIFAR10DataModule, theme: Theme
) -> Iterator[tuple[str, Figure | Image.Image]]:
    test, shown, layers = analysis.test, analysis.shown, tuple(analysis.layers)
    yield "confusion", plot_confusion(analysis.confusion, class_names=test.class_names, theme=theme)
    yield "classes", plot_classes(analysis.classes, theme=theme)
    curve = reliability_curve(test.probabilities, test.labels)
    calibrated = reliability_curve(analysis.calibrated, test.labels) if analysis.detector else None
    yield "reliability", plot_reliability(curve, calibrated=calibrated, theme=theme)
    yield "faithfulness", plot_faithfulness(analysis.faithfulness, theme=theme)
    epochs = len(history.rows) if history else 0
    # At most nine epochs beside the unchanged images.
    columns = 1 + min(epochs or 9, 9)
    preview = render_preview(datamodule, columns=columns, scale=4, surface=theme.surface, ink=theme.ink)
    yield "augmentation", preview
    if history and epochs:
        yield "curves", plot_curves(history, theme=theme)
    if len(shown.errors):
        errors = plot_errors(
            shown.errors, shown.images, maps=shown.predicted, true_maps=shown.true, layers=layers, theme=theme
        )
        yield "misclassified", errors


def plot_curves(history: History, *, theme: Theme) -> Figure:
    """Returns a figure of loss, accuracy, learning rate and momentum over the epochs.

    Panels without values are left out, and so is a momentum that does not change.
    """
    drawn = {
        title: [line for line in lines if len(line[0])] for title, lines in _panels(history, theme).items()
    }
    panels = {title: lines for title, lines in drawn.items() if lines}
    last = max(series[-1, 0] for lines in panels.values() for series, _ in lines)
    # Two to a row, so that they stay legible at the width of a page; the last may have a row to itself.
    titles = list(panels)
    rows: list[Any] = [titles[start : start + 2] for start in range(0, len(titles), 2)]
    rows[-1] *= len(rows[0]) // len(rows[-1])
    heights = [3.0 if row[0] != row[-1] else 2.2 for row in rows]
    figure = make_figure(height=sum(heights), theme=theme)
    for title, ax in figure.subplot_mosaic(rows, height_ratios=heights).items():
        quiet_axes(ax, theme=theme).set_prop_cycle(color=[theme.accent, theme.second, theme.muted, theme.ink])
        add_title(ax, title, theme=theme)
        for series, style in panels[title]:
            # The last epoch's mark lies on the edge.
            ax.plot(*series.T, markersize=4, clip_on=False, zorder=3, **style)
        ax.set_xlim(0, last)
        ax.locator_params(axis="x", integer=True)
        bottom, top = ax.get_ylim()
        if title == "Loss (nats)":
            ax.set_ylim(max(0.0, bottom), top)
        elif title == "Accuracy":
            ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        else:
            # From zero, or a small change would look like a great one.
            ax.set_ylim(0, max(top, 1e-12))
        if title in rows[-1]:
            ax.set_xlabel("epoch")
        if any(style["label"] for _, style in panels[title]):
            add_legend(ax, theme=theme, loc="best")
    return figure


def _panels(history: History, theme: Theme) -> dict[str, list[tuple[Series, dict[str, Any]]]]:
    metrics = history.epoch_metrics
    steps = {"label": "training, single steps smoothed", "color": theme.muted, "linewidth": 0.9}
    training = {"label": "training", "color": theme.accent, "marker": "o"}
    validation = {"label": "validation", "color": theme.second, "marker": "o"}

    def groups(series: Mapping[str, Series]) -> list[tuple[Series, dict[str, Any]]]:
        # Lightning names a parameter group by optimizer and number, such as SGD/pg1.
        labels = [name.replace("/pg", ", parameter group ") if len(series) > 1 else None for name in series]
        return [(one, {"label": label}) for one, label in zip(series.values(), labels, strict=True)]

    return {
        "Loss (nats)": [
            (_smoothed(history.step_loss), steps),
            (metrics["train_loss_epoch"], training),
            (metrics["val_loss"], validation),
        ],
        "Accuracy": [(metrics["train_accuracy"], training), (metrics["val_accuracy"], validation)],
        "Learning rate": groups(history.learning_rates),
        "Momentum": groups({name: one for name, one in history.momenta.items() if np.ptp(one[:, 1])}),
    }


def _smoothed(series: Series) -> Series:
    """Returns the mean over 2 % of the run."""
    width = round(0.02 * len(series))
    if width < 2:
        return series
    means = np.convolve(series[:, 1], np.ones(width) / width, mode="valid")
    return np.column_stack([series[width - 1 :, 0], means])
