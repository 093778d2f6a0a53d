"""A figure of the faithfulness of maps (ROAD)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cifar_explain.cam.faithfulness import RANDOM, Faithfulness
from cifar_explain.plots.style import (
    FIGURE_WIDTH,
    NAME_LENGTH,
    TEXT_SIZE,
    Theme,
    add_title,
    find_theme,
    make_figure,
    quiet_axes,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_faithfulness(rows: Sequence[Faithfulness], *, theme: str | Theme = "light") -> Figure:
    """Returns a figure of how far each method's maps beat random ones, by layer, with two standard errors.

    Rows are those of `measure_faithfulness`: of each layer its random maps and at least one method.

    >>> import numpy as np
    >>> scores = np.array([0.1, 0.3])
    >>> rows = [Faithfulness(RANDOM, "conv", (4, 4), scores * 0), Faithfulness("gradcam", "conv", (4, 4), scores)]
    >>> [label.get_text() for label in plot_faithfulness(rows).axes[0].get_yticklabels()]
    ['conv  4 x 4', 'gradcam']
    """
    rows = list(rows)
    if not rows or not all(isinstance(row, Faithfulness) for row in rows):
        raise ValueError(f"rows must be at least one layer's Faithfulness, got {rows!r:.100}")
    colours = find_theme(theme)
    layers = {row.layer: [other for other in rows if other.layer == row.layer] for row in rows}
    lines = sum(map(len, layers.values()))
    figure = make_figure(FIGURE_WIDTH, 1.7 + 0.27 * lines, theme=colours)
    axes = quiet_axes(figure.subplots(), theme=colours, grid="x")
    add_title(
        axes,
        "Faithfulness of the maps (ROAD)",
        f"Advantage over random maps of the same size, {len(rows[0].scores)} images, with two standard errors\n"
        "Filled: better than random. Hollow: not",
        theme=colours,
    )
    labels: list[tuple[str, bool]] = []
    for layer, group in layers.items():
        # The layer's own line takes the place of its random maps.
        labels.append(
            (f"{shorten(layer, NAME_LENGTH)}  {group[0].map_size[0]} x {group[0].map_size[1]}", True)
        )
        for row, (advantage, error) in _advantages(layer, group):
            place = len(labels)
            labels.append((row.method, False))
            margin = 0.0 if math.isnan(error) else 2 * error
            # One image has no standard error and proves nothing.
            believed = not math.isnan(error) and advantage > margin
            colour = colours.accent if believed else colours.second
            axes.hlines(place, advantage - margin, advantage + margin, color=colour, linewidth=2.2, alpha=0.7)
            axes.plot(
                advantage, place, marker="o", markersize=7.5, color=colour, markeredgewidth=1.8,
                markerfacecolor=colour if believed else colours.surface,
            )  # fmt: skip
    axes.axvline(0, color=colours.muted, linewidth=1.2)
    axes.set_ylim(len(labels) - 0.5, -0.7)
    axes.set_yticks(range(len(labels)), [text for text, _ in labels])
    for label, (_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
        label.set(
            size=TEXT_SIZE,
            color=colours.ink if heading else colours.muted,
            weight="bold" if heading else "normal",
        )
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=7)
    axes.set_xlabel("advantage in the target's probability")
    return figure


def _advantages(layer: str, group: Sequence[Faithfulness]) -> list[tuple[Faithfulness, tuple[float, float]]]:
    baselines = [row for row in group if row.method == RANDOM]
    methods = [row for row in group if row.method != RANDOM]
    if len(baselines) != 1 or not methods:
        raise ValueError(
            f"rows must have random maps once and at least one method for layer {layer!r}, "
            f"got {[row.method for row in group]}"
        )
    return [(row, row.advantage_over(baselines[0])) for row in methods]
