"""A figure of misclassified images, with their maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cifar_explain.cam.overlay import overlay
from cifar_explain.evaluation.errors import Errors
from cifar_explain.plots import style
from cifar_explain.plots.style import Theme
from cifar_explain.validation import check_photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Pair: TypeAlias = tuple[float, float]

# Inches. A column with one map is at most so wide, and all rows are within the height that a figure can have.
_MARGIN, _TITLE, _HEADER = 0.15, 0.7, 0.5
_CAPTION_WIDTH, _CAPTION_HEIGHT = 1.45, 0.8
_COLUMN, _ROWS = 1.05, 95.0

# Images in a row, where there are no maps.
_PER_ROW = 5
_MOST_ERRORS = 100


def plot_errors(
    errors: Errors,
    images: NDArray[np.uint8],
    *,
    maps: NDArray[np.floating] | None = None,
    true_maps: NDArray[np.floating] | None = None,
    layers: Sequence[str] = (),
    opacity: float = 0.55,
    theme: str | Theme = "light",
) -> Figure:
    """Returns a figure of misclassified images: both classes, their probabilities, and maps over the image.

    With maps there is one row for each error: the image, then for each layer the map for the predicted class, and
    beside it that for the true one. Without maps the images stand in rows of five.

    Args:
        errors: E errors, from 1 to 100, in the order to show.
        images: uint8 RGB `(E, H, W, 3)`.
        maps: Maps for the predicted classes, `(E, L, h, w)` in [0, 1], as `explain` returns.
        true_maps: Those for the true classes.
        layers: The L layers' names.
        opacity: How much the maps hide of the images, in [0, 1].
        theme: Name of one of `THEMES`, or a theme.
    """
    colours = style.find_theme(theme)
    if not 1 <= len(errors) <= _MOST_ERRORS:
        raise ValueError(f"errors must be from 1 to {_MOST_ERRORS}, got {len(errors)}")
    check_photos(images, len(errors))
    count, height, width, _ = images.shape
    if maps is None:
        if true_maps is not None or len(layers):
            raise ValueError("maps must be given with true_maps or layers, got None")
        rows, side = -(-count // _PER_ROW), (style.FIGURE_WIDTH - 2 * _MARGIN) / _PER_ROW
        below = _CAPTION_HEIGHT + 0.15
        row = min(0.9 * side * height / width + below, _ROWS / rows)
        figure, grid = _image_grid((rows, _PER_ROW), (side, row), below, (_MARGIN, 0.6 * _TITLE), colours)
        for number, axes in enumerate(grid.flat):
            if number < count:
                axes.imshow(images[number])
                axes.set_anchor("SW")
                _write_caption(axes, errors, number, colours, (0, 0), (0, -13))
            else:
                axes.remove()
        return figure
    kinds = [maps] if true_maps is None else [maps, true_maps]
    for heats in kinds:
        if np.ndim(heats) != 4 or np.shape(heats)[:2] != (count, len(layers)):
            needed = f"({count}, {len(layers)}, h, w), one for each error and layer"
            raise ValueError(f"maps must be {needed}, got {np.shape(heats)}")
    columns, start = 1 + len(layers) * len(kinds), _MARGIN + _CAPTION_WIDTH
    side = min((style.FIGURE_WIDTH - start - _MARGIN) / columns, _COLUMN)
    # A little less than a column is wide, so that the height bounds all images alike and leaves gaps between.
    row = min(max(0.88 * side * height / width, _CAPTION_HEIGHT), _ROWS / count)
    figure, grid = _image_grid((count, columns), (side, row), 0.1 * row, (start, _TITLE + _HEADER), colours)
    classes = "the predicted class" + ("" if true_maps is None else " (left) and the true one (right)")
    subtitle = f"Evidence for {classes}; dark: none"
    _write(figure, 0.38, subtitle, color=colours.muted, size=style.TEXT_SIZE - 0.5)
    scale = max(1, round(row * style.DOTS_PER_INCH / height))
    for number, (first, *others) in enumerate(grid):
        first.imshow(images[number])
        _write_caption(first, errors, number, colours, (0, 0.5), (-72 * _CAPTION_WIDTH, 20))
        for place, axes in enumerate(others):
            layer, kind = divmod(place, len(kinds))
            axes.imshow(overlay(images[number], kinds[kind][number, layer], opacity=opacity, scale=scale))
            # The two maps of a layer side by side.
            axes.set_anchor("C" if true_maps is None else "EW"[kind])
    letters = 9 if side > 0.65 else 4 if side > 0.35 else 0
    for place, axes in enumerate(grid[0, 1:]):
        layer, kind = divmod(place, len(kinds))
        word, colour = (("predicted", colours.second), ("true", colours.accent))[kind]
        axes.set_title(word[:letters], size=style.SMALL_SIZE, color=colour)
        if kind == 0:
            axes.annotate(
                style.shorten(layers[layer], max(3, int(len(kinds) * side * 9))), (len(kinds) / 2, 1),
                xytext=(0, 21), xycoords="axes fraction", textcoords="offset points", ha="center",
                size=style.TEXT_SIZE, weight="bold", color=colours.ink,
            )  # fmt: skip
    return figure


def _image_grid(shape: tuple[int, int], cell: _Pair, below: float, corner: _Pair, theme: Theme) -> Any:
    """Returns a titled figure and its rows and columns of axes; a cell's size, its gap and the corner are inches."""
    (rows, columns), (left, top) = shape, corner
    right, height = left + columns * cell[0], top + rows * cell[1]
    width = min(max(right + _MARGIN, 0.65 * style.FIGURE_WIDTH), style.FIGURE_WIDTH)
    figure = style.make_figure(width, height, theme=theme)
    figure.set_layout_engine("none")
    _write(figure, 0.14, "Misclassified images", size=style.TEXT_SIZE + 2.5, weight="bold", color=theme.ink)
    edges = {"left": left / width, "right": right / width, "top": 1 - top / height, "bottom": below / height}
    gaps = {"wspace": 0.06, "hspace": below / (cell[1] - below)}
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw=edges | gaps)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def _write(figure: Figure, down: float, text: str, **look: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(_MARGIN / width, 1 - down / height, text, va="top", **look)


def _write_caption(axes: Axes, errors: Errors, number: int, theme: Theme, at: _Pair, offset: _Pair) -> None:
    """Writes both classes and their probabilities below each other, the first `offset` points from `at`."""
    confidence, margin = float(errors.confidences[number]), float(errors.margins[number])
    lines = (
        (f"predicted, {style.percent(confidence)}", style.SMALL_SIZE, "normal", theme.muted),
        (errors.class_names[errors.predictions[number]], style.TEXT_SIZE, "bold", theme.second),
        (f"true, {style.percent(confidence - margin)}", style.SMALL_SIZE, "normal", theme.muted),
        (errors.class_names[errors.labels[number]], style.TEXT_SIZE, "bold", theme.accent),
    )
    for (text, size, weight, colour), down in zip(lines, (0, 12, 27, 39), strict=True):
        axes.annotate(
            style.shorten(text, 17), at, xytext=(offset[0], offset[1] - down), xycoords="axes fraction",
            textcoords="offset points", va="center", size=size, weight=weight, color=colour,
        )  # fmt: skip
