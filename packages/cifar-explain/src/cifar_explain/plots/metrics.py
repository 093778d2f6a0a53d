"""Figures of a confusion matrix, of precision and recall by class, of reliability and of faithfulness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cifar_explain.cam.faithfulness import RANDOM, Faithfulness
from cifar_explain.evaluation.calibration import ReliabilityCurve
from cifar_explain.evaluation.metrics import ClassReport, as_confusion
from cifar_explain.plots import style
from cifar_explain.plots.style import Theme
from cifar_explain.validation import as_class_names

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def plot_confusion(
    matrix: NDArray[np.integer], *, class_names: Sequence[str] | None = None, theme: str | Theme = "light"
) -> Figure:
    """Returns a figure of `confusion_matrix`: right predictions teal, wrong ones orange.

    Colours are shares of the true class, on a scale of their own for each of the two hues, since errors would
    vanish beside the diagonal. Numbers are counts, left out with more than 20 classes.
    """
    counts = as_confusion(matrix)
    classes = len(counts)
    names = [style.shorten(name, style.NAME_LENGTH) for name in as_class_names(class_names, classes=classes)]
    right, everything = int(counts.trace()), int(counts.sum())
    title = f"{right:,} of {everything:,} right, {style.percent(right / max(everything, 1), 2)}"
    subtitle = "Number of images by true and predicted class. Teal: right. Orange: misclassified"
    height = min(2.0 + 0.45 * classes, 9.5)
    figure, axes, colours = style.titled_axes(height, title, subtitle, theme=theme, grid="none")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    own = np.eye(classes, dtype=bool)
    # The darkest colour is left to neither; that of errors is reached where a tenth of a class is lost, or more.
    wrong = colours.colormap_second(0.8 * shares / shares[~own].max(initial=0.1))
    cells = np.where(own[..., None], colours.colormap(0.85 * shares), wrong)
    axes.imshow(cells, aspect="auto", interpolation="nearest")
    for lines in (axes.hlines, axes.vlines):
        lines(np.arange(classes - 1) + 0.5, -0.5, classes - 0.5, color=colours.surface, linewidth=2)
    size = style.TEXT_SIZE if classes <= 12 else style.TEXT_SIZE - 2
    for row, column in np.argwhere(counts) if classes <= 20 else ():
        # At a relative luminance of 0.18 black and white have the same contrast, 4.6:1, and more elsewhere.
        bright = cells[row, column, :3] ** 2.2 @ [0.2126, 0.7152, 0.0722] > 0.18
        count = counts[row, column]
        # Out of the layout, which would measure each of them.
        axes.text(
            column, row, f"{count}" if count < 10_000 else f"{count / 1000:.0f}k", ha="center", va="center",
            size=size, color="black" if bright else "white", weight="bold" if row == column else "normal",
        ).set_in_layout(False)  # fmt: skip
    axes.spines[:].set_visible(False)
    # No more names than there is room for.
    shown = range(classes)[:: -(-classes // 40)]
    for set_ticks, smaller in ((axes.set_xticks, 1), (axes.set_yticks, 0)):
        set_ticks(shown, names[:: shown.step], size=size - smaller)
    # A letter takes about 0.08 of the size; a cell is what is left of the width.
    if max(map(len, names)) * 0.08 * (size - 1) / 10 > 7.6 / classes:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


def plot_classes(reports: Sequence[ClassReport], *, theme: str | Theme = "light") -> Figure:
    """Returns a figure of the precision and the recall of each class, in the order of `class_reports`."""
    if not reports:
        raise ValueError("reports must be at least one, got none")
    title = "Precision and recall by class"
    figure, axes, colours = style.titled_axes(1.5 + 0.34 * len(reports), title, theme=theme, grid="x")
    rows = np.arange(len(reports))
    values = np.array([[report.precision, report.recall] for report in reports])
    axes.hlines(rows, values.min(axis=1), values.max(axis=1), color=colours.muted, linewidth=1.5, alpha=0.6)
    series = (("precision", colours.accent, "o", 62), ("recall", colours.second, "D", 116))
    for column, (name, colour, marker, place) in enumerate(series):
        axes.scatter(values[:, column], rows, s=44, color=colour, marker=marker, zorder=3, clip_on=False)
        texts = ["-" if np.isnan(value) else style.percent(value) for value in values[:, column]]
        for row, text in enumerate([name, *texts], start=-1):
            axes.annotate(
                text, (1, row), xytext=(place, 0), xycoords=axes.get_yaxis_transform(), va="center", ha="right",
                textcoords="offset points", annotation_clip=False, color=colour, size=style.TEXT_SIZE - 0.5,
                weight="bold" if row < 0 else "normal",
            )  # fmt: skip
    least = np.nan_to_num(values, nan=1).min() if np.isfinite(values).any() else 0.0
    axes.set(xlim=(max(0.0, np.floor(least * 20 - 0.5) / 20), 1.005), ylim=(len(reports) - 0.5, -0.5))
    _percent(axes.xaxis)
    axes.set_yticks(rows, [style.shorten(report.name, style.NAME_LENGTH) for report in reports])
    axes.tick_params(axis="y", labelcolor=colours.ink, labelsize=style.TEXT_SIZE)
    axes.spines["left"].set_visible(False)
    return figure


def plot_reliability(
    curve: ReliabilityCurve, *, calibrated: ReliabilityCurve | None = None, theme: str | Theme = "light"
) -> Figure:
    """Returns a reliability diagram, of the curves before and after `apply_temperature` if both are given."""
    colours = style.find_theme(theme)
    shown = [("the model", curve, colours.accent, "o")]
    if calibrated is not None:
        before = ("before calibration", curve, colours.second, "D")
        shown = [before, ("after calibration", calibrated, colours.accent, "o")]
    counts = np.concatenate([points.counts for _, points, _, _ in shown])
    least, most = counts.min(), counts.max()
    subtitle = "Dashed: confidence equals accuracy. Below it the model is overconfident, above underconfident"
    # Adaptive bins hold equally many images, but for what does not divide evenly.
    alike, other = f"Each mark: {most:,} images", f"Larger marks: more images, from {least:,} to {most:,}"
    subtitle += "\n" + (alike if most - least <= 1 else other)
    figure, axes, _ = style.titled_axes(5.2, "Reliability diagram", subtitle, theme=colours, grid="both")
    axes.plot([0, 1], [0, 1], color=colours.muted, linewidth=1.2, linestyle=(0, (4, 3)))
    for name, points, colour, marker in shown:
        label = f"{name}: calibration error {style.percent(points.calibration_error)}"
        # The legend's line with its mark; the marks themselves follow, as large as the images behind them.
        look: dict[str, Any] = {"color": colour, "marker": marker}
        axes.plot(points.confidences, points.accuracies, label=label, lw=2, markevery=cast("Any", []), **look)
        sizes = 50 * points.counts / most
        axes.scatter(points.confidences, points.accuracies, s=sizes, zorder=3, **look)
    lowest = min(np.min([points.confidences, points.accuracies]) for _, points, _, _ in shown)
    start = max(0.0, np.floor(lowest * 10 - 0.2) / 10)
    axes.set(xlim=(start, 1.01), ylim=(start, 1.02))
    axes.set(xlabel="confidence: probability of the predicted class", ylabel="accuracy")
    style.add_legend(figure, theme=colours, loc="outside lower center", ncols=2)
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    return figure


def _percent(axis: Axis) -> None:
    """Labels an axis of shares in whole percent, with no tick between two of them."""
    cast("Any", axis.get_major_locator()).set_params(nbins=10, steps=[1, 2, 5, 10])
    axis.set_major_formatter(lambda value, _: style.percent(value, 0))


def plot_faithfulness(rows: Sequence[Faithfulness], *, theme: str | Theme = "light") -> Figure:
    """Returns a figure of how far each method's maps beat random ones, by layer, with two standard errors.

    Rows are those of `measure_faithfulness`: of each layer its random maps and at least one method.
    """
    if not rows:
        raise ValueError("rows must be at least one layer's Faithfulness, got none")
    layers = {row.layer: [other for other in rows if other.layer == row.layer] for row in rows}
    title = "Faithfulness of the class activation maps (ROAD)"
    subtitle = (
        "Removing the pixels that a map marks should lower the confidence more than removing the others.\n"
        f"Compared with random maps: mean of {len(rows[0].scores)} images, with 2 standard errors.\n"
        "Filled: better than random. Hollow: not"
    )
    figure, axes, colours = style.titled_axes(1.9 + 0.27 * len(rows), title, subtitle, theme=theme, grid="x")
    labels: list[str] = []
    headings: set[int] = set()
    for layer, group in layers.items():
        baselines = [row for row in group if row.method == RANDOM]
        methods = [row for row in group if row.method != RANDOM]
        if len(baselines) != 1 or not methods:
            got = f"layer {layer!r}, got {[row.method for row in group]}"
            raise ValueError(f"rows must have random maps once and at least one method for {got}")
        # The layer's own line takes the place of its random maps.
        headings.add(len(labels))
        height, width = group[0].map_size
        labels.append(f"{style.shorten(layer, style.NAME_LENGTH)}  {height} x {width}")
        for row in methods:
            advantage, error = row.advantage_over(baselines[0])
            place = len(labels)
            labels.append(row.method)
            # One image has no standard error and proves nothing.
            margin = 2 * np.nan_to_num(error)
            believed = advantage > 2 * error
            colour = colours.accent if believed else colours.second
            axes.hlines(place, advantage - margin, advantage + margin, color=colour, linewidth=2.2, alpha=0.7)
            fill = colour if believed else colours.surface
            axes.plot(advantage, place, marker="o", color=colour, ms=7.5, mew=1.8, mfc=fill)
    axes.axvline(0, color=colours.muted, linewidth=1.2)
    axes.set_ylim(len(labels) - 0.5, -0.7)
    axes.set_yticks(range(len(labels)), labels, size=style.TEXT_SIZE)
    for place in headings:
        axes.get_yticklabels()[place].set(color=colours.ink, weight="bold")
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=7)
    axes.set_xlabel("ROAD score of the map minus that of a random map")
    return figure
