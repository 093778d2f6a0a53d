"""A figure of which classes are mistaken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cifar_explain.evaluation.metrics import as_confusion
from cifar_explain.plots.style import (
    FIGURE_WIDTH,
    NAME_LENGTH,
    TEXT_SIZE,
    add_title,
    make_figure,
    quiet_axes,
    shorten,
)
from cifar_explain.plots.themes import Theme, find_theme
from cifar_explain.validation import as_class_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_confusion(
    matrix: NDArray[np.integer], *, class_names: Sequence[str] | None = None, theme: str | Theme = "light"
) -> Figure:
    """Return a figure of a confusion matrix `(K, K)`: right predictions teal, wrong ones orange.

    Colours tell shares of the true class; each of the two hues has a scale of its own, since errors would
    vanish beside the diagonal. The numbers are counts; with more than 20 classes they are left out.

    Args:
        matrix: Counts, true classes in rows, as `confusion_matrix` returns.
        class_names: The K names; without them the indices.
        theme: Name of one of `THEMES`, or a theme.

    Raises:
        ValueError: If the matrix is not square with whole numbers of at least 0, or the names do not fit.

    >>> figure = plot_confusion(np.array([[8, 2], [1, 9]]), class_names=["cat", "dog"])
    >>> figure.axes[0].texts[0].get_text()
    '17 of 20 right, 85.00%'
    """
    counts = as_confusion(matrix)
    classes = len(counts)
    names = [shorten(name, NAME_LENGTH) for name in as_class_names(class_names, classes=classes)]
    colours = find_theme(theme)
    figure = make_figure(FIGURE_WIDTH, min(2.0 + 0.45 * classes, 9.5), theme=colours)
    axes = quiet_axes(figure.subplots(), theme=colours, grid="none")
    right, everything = int(counts.trace()), int(counts.sum())
    add_title(
        axes,
        f"{right:,} of {everything:,} right" + (f", {right / everything:.2%}" if everything else ""),
        "Each row is a true class; orange is what its images are mistaken for",
        theme=colours,
    )
    cells = _cell_colours(counts, colours)
    axes.imshow(cells, aspect="auto", interpolation="nearest")
    axes.hlines(np.arange(classes - 1) + 0.5, -0.5, classes - 0.5, color=colours.surface, linewidth=2)
    axes.vlines(np.arange(classes - 1) + 0.5, -0.5, classes - 0.5, color=colours.surface, linewidth=2)
    pale, dark = sorted([colours.surface, colours.ink], key=_brightness, reverse=True)
    size = TEXT_SIZE if classes <= 12 else TEXT_SIZE - 2
    if classes <= 20:
        # Out of the layout, which would measure each of them.
        for row, column in np.argwhere(counts):
            # Whichever of the theme's two extremes stands out from the cell.
            bright = cells[row, column, :3] ** 2.2 @ [0.2126, 0.7152, 0.0722] > 0.18
            axes.text(
                column, row, _compact(int(counts[row, column])), ha="center", va="center", size=size,
                color=dark if bright else pale, weight="bold" if row == column else "normal",
            ).set_in_layout(False)  # fmt: skip
    axes.spines[:].set_visible(False)
    # A letter takes about 0.08 of the size; a cell is what is left of the width.
    tilted = max(map(len, names)) * 0.08 * (size - 1) / 10 > 7.6 / classes
    # No more names than there is room for.
    step = -(-classes // 40)
    axes.set_xticks(range(0, classes, step), names[::step], size=size - 1)
    if tilted:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(0, classes, step), names[::step], size=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure


def _cell_colours(counts: NDArray[np.int64], theme: Theme) -> NDArray[np.float64]:
    """Return the cells' colours `(K, K, 4)` in [0, 1]."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    own = np.eye(len(counts), dtype=bool)
    worst = max(float(shares[~own].max(initial=0)), 1e-9)
    # The darkest colour is left to neither: the scale of errors ends where a tenth of a class is lost, or more.
    wrong = theme.colormap_second(0.8 * shares / max(worst, 0.1))
    return np.where(own[..., None], theme.colormap(0.85 * shares), wrong)


def _brightness(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _compact(count: int) -> str:
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"
