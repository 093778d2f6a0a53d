"""A figure of misclassified images, with their maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.cam.overlay import overlay
from cifar_explain.evaluation.errors import Errors
from cifar_explain.plots.style import (
    DOTS_PER_INCH,
    FIGURE_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    Theme,
    find_theme,
    make_figure,
    shorten,
)
from cifar_explain.validation import check_photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
_MARGIN = 0.15
_TITLE, _HEADER = 0.7, 0.5
_CAPTION_WIDTH, _CAPTION_HEIGHT = 1.45, 0.8
# Of a column with one map, at most; and of all rows, within the height of 100 that a figure can have.
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

    With maps there is one row for each error: the image, then for each layer where it sees evidence for the
    predicted class, and beside it for the true one. Without maps the images stand in rows of five.

    Args:
        errors: E errors, from 1 to 100, in the order to show.
        images: uint8 RGB `(E, H, W, 3)`.
        maps: Maps for the predicted classes, `(E, L, h, w)` in [0, 1], as `explain` returns.
        true_maps: Maps for the true classes, of the same shape.
        layers: The L layers' names.
        opacity: How much the maps hide of the images, in [0, 1].
        theme: Name of one of `THEMES`, or a theme.

    >>> from cifar_explain import find_errors
    >>> errors = find_errors([[0.9, 0.1], [0.7, 0.3]], [1, 1], class_names=["cat", "dog"])
    >>> photos, maps = np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 1, 32, 32))
    >>> figure = plot_errors(errors, photos, maps=maps, true_maps=maps, layers=["conv"])
    >>> sum(len(axes.images) for axes in figure.axes)  # an image and two maps for each
    6
    """
    colours = find_theme(theme)
    _check(errors, images, maps, true_maps, layers)
    if maps is None:
        return _plot_images(errors, images, colours)
    heats = [maps] if true_maps is None else [maps, true_maps]
    count, height, width, _ = images.shape
    columns = 1 + len(layers) * len(heats)
    side = min((FIGURE_WIDTH - _CAPTION_WIDTH - 2 * _MARGIN) / columns, _COLUMN)
    full = max(2 * _MARGIN + _CAPTION_WIDTH + side * columns, 0.65 * FIGURE_WIDTH)
    # A little less than a column is wide, so that the height bounds all images alike and leaves gaps between.
    row = min(max(0.88 * side * height / width, _CAPTION_HEIGHT), _ROWS / count)
    sides = "predicted class" if true_maps is None else "predicted class (left) and the true one (right)"
    subtitle = f"Evidence for the {sides}; dark: none"
    figure = _titled_figure(full, _TITLE + _HEADER + count * row + _MARGIN, subtitle, colours)
    ratios = [_CAPTION_WIDTH, side, *[side * len(heats)] * len(layers)]
    right = _MARGIN + _CAPTION_WIDTH + side * columns
    edges = _edges(figure, right=right, top=_TITLE + _HEADER, bottom=_MARGIN)
    grid = figure.add_gridspec(count, 2 + len(layers), width_ratios=ratios, wspace=0.06, hspace=0.1, **edges)
    scale = max(1, round(row * DOTS_PER_INCH / height))
    for number in range(count):
        _write_caption(_bare(figure, grid[number, 0]), errors, number, colours, (0, 0.5), 20)
        _bare(figure, grid[number, 1]).imshow(images[number])
        for column, layer in enumerate(layers):
            cell = grid[number, 2 + column]
            if number == 0:
                name = shorten(layer, max(3, int(len(heats) * side * 9)))
                _bare(figure, cell).set_title(name, size=TEXT_SIZE, weight="bold", color=colours.ink, pad=21)
            inner = cell.subgridspec(1, len(heats), wspace=0.05)
            for place, heat in enumerate(heats):
                axes = _bare(figure, inner[0, place])
                axes.imshow(overlay(images[number], heat[number, column], opacity=opacity, scale=scale))
                # The two maps of a layer side by side.
                axes.set_anchor("C" if len(heats) == 1 else "EW"[place])
                if number == 0:
                    word, colour = (("predicted", colours.second), ("true", colours.accent))[place]
                    room = 9 if side > 0.65 else 4 if side > 0.35 else 0
                    axes.set_title(word[:room], size=SMALL_SIZE, color=colour, pad=6)
    return figure


def _plot_images(errors: Errors, images: NDArray[np.uint8], theme: Theme) -> Figure:
    count, height, width, _ = images.shape
    rows, side = -(-count // _PER_ROW), (FIGURE_WIDTH - 2 * _MARGIN) / _PER_ROW
    row = min(0.9 * side * height / width + _CAPTION_HEIGHT + 0.15, _ROWS / rows)
    figure = _titled_figure(FIGURE_WIDTH, _TITLE + rows * row, "", theme)
    below = _CAPTION_HEIGHT + 0.15
    edges = _edges(figure, right=FIGURE_WIDTH - _MARGIN, top=0.6 * _TITLE, bottom=below)
    grid = figure.add_gridspec(rows, _PER_ROW, wspace=0.1, hspace=below / (row - below), **edges)
    for number, image in enumerate(images):
        axes = _bare(figure, grid[divmod(number, _PER_ROW)])
        axes.imshow(image)
        axes.set_anchor("SW")
        _write_caption(axes, errors, number, theme, (0, 0), -13)
    return figure


def _titled_figure(width: float, height: float, subtitle: str, theme: Theme) -> Figure:
    figure = make_figure(width, height, theme=theme)
    figure.set_layout_engine("none")
    title: dict[str, Any] = {"size": TEXT_SIZE + 2.5, "weight": "bold", "color": theme.ink}
    below: dict[str, Any] = {"size": TEXT_SIZE - 0.5, "color": theme.muted}
    figure.text(_MARGIN / width, 1 - 0.14 / height, "Misclassified images", va="top", **title)
    figure.text(_MARGIN / width, 1 - 0.38 / height, subtitle, va="top", **below)
    return figure


def _edges(figure: Figure, *, right: float, top: float, bottom: float) -> dict[str, Any]:
    """Returns where a grid lies in the figure: inches from the left, from the top and from the bottom."""
    width, height = figure.get_size_inches()
    left = _MARGIN / width
    return {"left": left, "right": right / width, "top": 1 - top / height, "bottom": bottom / height}


def _bare(figure: Figure, cell: Any) -> Axes:
    axes = figure.add_subplot(cell)
    axes.set_axis_off()
    return axes


def _write_caption(
    axes: Axes, errors: Errors, number: int, theme: Theme, place: tuple[float, float], first: float
) -> None:
    """Writes both classes and their probabilities below each other, the first `first` points above `place`."""
    confidence, margin = float(errors.confidences[number]), float(errors.margins[number])
    lines = (
        (f"predicted, {confidence:.1%}", SMALL_SIZE, "normal", theme.muted),
        (errors.class_names[errors.predictions[number]], TEXT_SIZE, "bold", theme.second),
        (f"true, {confidence - margin:.1%}", SMALL_SIZE, "normal", theme.muted),
        (errors.class_names[errors.labels[number]], TEXT_SIZE, "bold", theme.accent),
    )
    for (text, size, weight, colour), down in zip(lines, (0, 12, 27, 39), strict=True):
        axes.annotate(
            shorten(text, 17), place, xytext=(0, first - down), xycoords="axes fraction",
            textcoords="offset points", va="center", size=size, weight=weight, color=colour,
        )  # fmt: skip


def _check(errors: Any, images: Any, maps: Any, true_maps: Any, layers: Any) -> None:
    if not isinstance(errors, Errors) or not 1 <= len(errors) <= _MOST_ERRORS:
        got = len(errors) if isinstance(errors, Errors) else type(errors).__name__
        raise ValueError(f"errors must be a table of 1 to {_MOST_ERRORS} errors, got {got}")
    check_photos(images, len(errors))
    if isinstance(layers, str) or not all(isinstance(layer, str) for layer in layers):
        raise ValueError(f"layers must be a list of names, got {layers!r:.100}")
    if maps is None and (true_maps is not None or len(layers)):
        raise ValueError("maps must be given with true_maps or layers, got None")
    for argument, heats in (("maps", maps), ("true_maps", true_maps)):
        if heats is not None and (np.ndim(heats) != 4 or np.shape(heats)[:2] != (len(errors), len(layers))):
            raise ValueError(
                f"{argument} must be ({len(errors)}, {len(layers)}, h, w), one map for each error and layer, "
                f"got {np.shape(heats)}"
            )
    if maps is not None and not len(layers):
        raise ValueError("layers must name each of the maps, got none")
