"""Figures of how well each class is recognised and whether confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.calibration import ReliabilityCurve
from cifar_explain.evaluation.metrics import ClassReport
from cifar_explain.plots.style import (
    FIGURE_WIDTH,
    NAME_LENGTH,
    TEXT_SIZE,
    add_legend,
    add_title,
    make_figure,
    quiet_axes,
    shorten,
)
from cifar_explain.plots.themes import Theme, find_theme

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def plot_classes(reports: Sequence[ClassReport], *, theme: str | Theme = "light") -> Figure:
    """Return a figure of the precision and the recall of each class, in the order given.

    Args:
        reports: As `class_reports` returns; at least one.
        theme: Name of one of `THEMES`, or a theme.

    Raises:
        ValueError: If there are no reports, or the theme is unknown.

    >>> from cifar_explain import class_reports
    >>> figure = plot_classes(class_reports(np.array([[8, 2], [1, 9]]), class_names=["cat", "dog"]))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['cat', 'dog']
    """
    reports = list(reports)
    if not reports or not all(isinstance(report, ClassReport) for report in reports):
        raise ValueError(f"reports must be at least one ClassReport, got {reports!r:.100}")
    colours = find_theme(theme)
    figure = make_figure(FIGURE_WIDTH, 1.5 + 0.34 * len(reports), theme=colours)
    axes = quiet_axes(figure.subplots(), theme=colours, grid="x")
    add_title(axes, "Precision and recall by class", theme=colours)
    rows = np.arange(len(reports))
    values = np.array([[report.precision, report.recall] for report in reports])
    axes.hlines(rows, values.min(axis=1), values.max(axis=1), color=colours.muted, linewidth=1.5, alpha=0.6)
    series = (("precision", colours.accent, "o", 62), ("recall", colours.second, "D", 116))
    for column, (name, colour, marker, place) in enumerate(series):
        beside: dict[str, Any] = {
            "textcoords": "offset points",
            "ha": "right",
            "size": TEXT_SIZE - 0.5,
            "color": colour,
            "annotation_clip": False,
        }
        axes.scatter(values[:, column], rows, s=44, color=colour, marker=marker, zorder=3, clip_on=False)
        axes.annotate(
            name, (1, 1), xytext=(place, 2), xycoords="axes fraction", va="bottom", weight="bold", **beside
        )
        for row, value in zip(rows.tolist(), values[:, column], strict=True):
            text = "-" if np.isnan(value) else f"{value:.1%}"
            coordinates = axes.get_yaxis_transform()
            axes.annotate(text, (1, row), xytext=(place, 0), xycoords=coordinates, va="center", **beside)
    least = 0.0 if np.isnan(values).all() else float(np.nanmin(values))
    axes.set_xlim(max(0.0, np.floor(least * 20 - 0.5) / 20), 1.005)
    _percent(axes.xaxis)
    axes.set_ylim(len(reports) - 0.5, -0.5)
    axes.set_yticks(rows, [shorten(report.name, NAME_LENGTH) for report in reports])
    axes.tick_params(axis="y", labelcolor=colours.ink, labelsize=TEXT_SIZE)
    axes.spines["left"].set_visible(False)
    return figure


def plot_reliability(
    curve: ReliabilityCurve, *, calibrated: ReliabilityCurve | None = None, theme: str | Theme = "light"
) -> Figure:
    """Return a figure of accuracy by confidence, with the calibration error and the images behind each point.

    Args:
        curve: As `reliability_curve` returns.
        calibrated: The same after `apply_temperature`.
        theme: Name of one of `THEMES`, or a theme.

    Raises:
        ValueError: If a curve is none, or the theme is unknown.

    >>> from cifar_explain import reliability_curve
    >>> figure = plot_reliability(reliability_curve([[0.9, 0.1], [0.6, 0.4]], [0, 1]))
    >>> figure.legends[0].get_texts()[0].get_text()
    'the model: calibration error 35.0%'
    """
    for argument, value in (("curve", curve), ("calibrated", calibrated)):
        if not isinstance(value, ReliabilityCurve) and (argument == "curve" or value is not None):
            raise ValueError(f"{argument} must be a ReliabilityCurve, got {type(value).__name__}")
    colours = find_theme(theme)
    shown = [("the model", curve, colours.accent, "o")]
    if calibrated is not None:
        shown = [
            ("as it comes", curve, colours.second, "D"),
            ("calibrated", calibrated, colours.accent, "o"),
        ]
    figure = make_figure(FIGURE_WIDTH, 5.2, theme=colours)
    axes = quiet_axes(figure.subplots(), theme=colours, grid="both")
    add_title(
        axes,
        "Can its confidence be believed?",
        "On the dashed line it can; below it the model is too sure, above it not sure enough\n"
        + _behind_marks([points.counts for _, points, _, _ in shown]),
        theme=colours,
    )
    axes.plot([0, 1], [0, 1], color=colours.muted, linewidth=1.2, linestyle=(0, (4, 3)))
    most = max(int(points.counts.max()) for _, points, _, _ in shown)
    for name, points, colour, marker in shown:
        axes.plot(
            points.confidences,
            points.accuracies,
            color=colour,
            marker=marker,
            markersize=6,
            linewidth=2,
            # The legend's line with its mark; the marks themselves follow, as large as the images behind them.
            markevery=[],
            label=f"{name}: calibration error {points.calibration_error:.1%}",
        )
        sizes = 50 * points.counts / most
        axes.scatter(points.confidences, points.accuracies, s=sizes, color=colour, marker=marker, zorder=3)
    least = min(float(min(points.confidences.min(), points.accuracies.min())) for _, points, _, _ in shown)
    start = max(0.0, np.floor(least * 10 - 0.2) / 10)
    axes.set_xlim(start, 1.01)
    axes.set_ylim(start, 1.02)
    add_legend(figure, theme=colours, loc="outside lower center", ncols=2)
    _percent(axes.xaxis, axes.yaxis)
    axes.set_ylabel("share that is right")
    axes.set_xlabel("confidence: probability of the predicted class")
    return figure


def _behind_marks(counts: Sequence[NDArray[np.integer]]) -> str:
    least, most = min(int(one.min()) for one in counts), max(int(one.max()) for one in counts)
    # Adaptive bins hold equally many images, but for what does not divide evenly.
    if most - least <= 1:
        return f"Each mark stands for {most:,} images"
    return f"The larger a mark, the more images stand behind it: {least:,} to {most:,}"


def _percent(*axes: Axis) -> None:
    """Label an axis of shares in whole percent, with no tick between two of them."""
    # As in `make_figure`: a second that whoever draws nothing is spared.
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
