"""The curves of a run as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cifar_explain import Theme, add_legend, add_title, find_theme, make_figure, quiet_axes
from cifar_train.runs.history import History, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Single steps jump; the line drawn is their mean over this share of the run.
_SMOOTHING = 0.02


class _Line(NamedTuple):
    series: Series
    label: str
    colour: str
    marker: str = ""
    width: float = 1.8


class _Panel(NamedTuple):
    title: str
    unit: str
    lines: list[_Line]


def plot_curves(history: History, *, theme: str = "light") -> Figure:
    """Loss, accuracy, learning rate and momentum over the epochs, a panel each.

    Args:
        history: What the run logged; a panel whose series are all empty is left out.
        theme: One of `cifar_explain.THEMES`.

    Raises:
        ValueError: If the theme is unknown or nothing was logged.
    """
    look = find_theme(theme)
    panels = [panel for panel in _panels(history, look) if panel.lines]
    if not panels:
        raise ValueError("history holds no logged series, so there is nothing to draw")
    # Two to a row, so that they stay legible at the width of a page.
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_figure(height=3.0 * rows, theme=theme)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    last = max(float(line.series.epochs[-1]) for panel in panels for line in panel.lines)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        _draw(ax, panel, look)
        ax.set_xlim(0, last)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if number >= len(panels) - columns:
            ax.set_xlabel("epoch")
    return figure


def _panels(history: History, look: Theme) -> list[_Panel]:
    metrics = history.epoch_metrics
    steps = _smoothed(history.step_loss)
    loss = [
        _Line(steps, "training, single steps smoothed", look.muted, width=0.9),
        *_both(metrics, "train_loss_epoch", "val_loss", look),
    ]
    accuracy = _both(_as_percent(metrics), "train_accuracy", "val_accuracy", look)
    return [
        _Panel("Loss", "nats", _logged(loss)),
        _Panel("Accuracy", "%", _logged(accuracy)),
        _Panel("Learning rate", "", _groups(history.learning_rates, look)),
        _Panel("Momentum", "", _groups(history.momenta, look)),
    ]


def _both(metrics: Mapping[str, Series], train: str, val: str, look: Theme) -> list[_Line]:
    return [
        _Line(metrics[train], "training", look.accent, marker="o"),
        _Line(metrics[val], "validation", look.second, marker="o"),
    ]


def _logged(lines: Sequence[_Line]) -> list[_Line]:
    return [line for line in lines if len(line.series)]


def _groups(series: Mapping[str, Series], look: Theme) -> list[_Line]:
    colours = [look.accent, look.second, look.muted, look.ink]
    # Groups that agree are one line already; a name is worth its place only beside another. Lightning names a group
    # by optimizer and number, as in Muon/pg1.
    named = len(series) > 1
    return [
        _Line(one, name.replace("/pg", ", group ") if named else "", colours[number % len(colours)])
        for number, (name, one) in enumerate(series.items())
    ]


def _as_percent(metrics: Mapping[str, Series]) -> dict[str, Series]:
    return {name: Series(series.epochs, 100 * series.values) for name, series in metrics.items()}


def _smoothed(series: Series) -> Series:
    width = max(1, round(_SMOOTHING * len(series)))
    if width == 1:
        return series
    means = np.convolve(series.values, np.ones(width) / width, mode="valid")
    return Series(series.epochs[width - 1 :], means)


def _draw(ax: Axes, panel: _Panel, look: Theme) -> None:
    quiet_axes(ax, theme=look)
    add_title(ax, panel.title, panel.unit, theme=look)
    for line in panel.lines:
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
    if panel.title in ("Learning rate", "Momentum"):
        # From zero, or a constant momentum would look like a schedule.
        ax.set_ylim(0, max(top, 1e-12))
    elif panel.title == "Loss":
        ax.set_ylim(max(0.0, bottom), top)
    if any(line.label for line in panel.lines):
        add_legend(ax, theme=look, loc="best")
