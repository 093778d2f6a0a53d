"""A figure of misclassified images, with their maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cifar_explain.cam.overlay import enlarge_photo, overlay
from cifar_explain.evaluation.errors import Errors
from cifar_explain.plots.style import (
    DOTS_PER_INCH,
    FIGURE_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    make_figure,
    shorten,
)
from cifar_explain.plots.themes import Theme, find_theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Lengths are pixels of the figure at its own resolution, so that enlarged images are drawn one to one.
_WIDTH = int(FIGURE_WIDTH * DOTS_PER_INCH)
# What the title takes.
_LEAST_WIDTH = 1170
_MARGIN = 28
_GAP = 10
_GROUP_GAP = 34
_CAPTION_WIDTH = 290
_CAPTION_HEIGHT = 150
_TITLE_HEIGHT = 140
_HEADER_HEIGHT = 84
# Tiles larger than these would only make the figure higher.
_LARGEST_TILE = 192
_LARGEST_PHOTO = 330
# Photos in a row, where there are no maps.
_PER_ROW = 5
# More would be higher than an image can be.
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
    """Return a figure of misclassified images: both classes, their probabilities, and maps over the photo.

    With maps there is one row for each error: the photo, then for each layer where it sees evidence for the
    predicted class, and beside it for the true one. Without maps the photos stand in rows of five.

    Args:
        errors: E errors, at least 1 and at most 100, in the order to show.
        images: Their photos, uint8 RGB `(E, H, W, 3)`.
        maps: Maps for the predicted classes, `(E, L, h, w)` in [0, 1], as `explain` returns.
        true_maps: Maps for the true classes, of the same shape.
        layers: The L layers' names.
        opacity: How much the maps hide of the photos, in [0, 1].
        theme: Name of one of `THEMES`, or a theme.

    Raises:
        ValueError: If there are no errors or too many, or shapes, types or values do not fit together.

    >>> from cifar_explain import find_errors
    >>> errors = find_errors([[0.9, 0.1], [0.7, 0.3]], [1, 1], class_names=["cat", "dog"])
    >>> photos, maps = np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 1, 32, 32))
    >>> figure = plot_errors(errors, photos, maps=maps, true_maps=maps, layers=["conv"])
    >>> len(figure.axes[0].images)  # a photo and two maps for each
    6
    """
    colours = find_theme(theme)
    _check(errors, images, maps, true_maps, layers)
    if maps is None:
        return _plot_photos(errors, images, colours)
    heats = [maps] if true_maps is None else [maps, true_maps]
    count, height, width, _ = images.shape
    columns = 1 + len(layers) * len(heats)
    room = _WIDTH - 2 * _MARGIN - _CAPTION_WIDTH - len(layers) * (_GROUP_GAP + (len(heats) - 1) * _GAP)
    scale, tile_width, tile_height = _tile(width, height, min(room // columns, _LARGEST_TILE))
    group = len(heats) * tile_width + (len(heats) - 1) * _GAP
    row_height = max(tile_height, _CAPTION_HEIGHT) + 2 * _GAP
    top = _TITLE_HEIGHT + _HEADER_HEIGHT
    photo_left = _MARGIN + _CAPTION_WIDTH
    lefts = [
        photo_left + tile_width + _GROUP_GAP + number * (group + _GROUP_GAP) for number in range(len(layers))
    ]
    axes = _canvas(
        max(lefts[-1] + group + _MARGIN, _LEAST_WIDTH), top + count * row_height + _MARGIN, colours
    )
    sides = "predicted class" if true_maps is None else "predicted class (left) and the true one (right)"
    _title(
        axes,
        "Misclassified images",
        f"Evidence for the {sides}; dark: none",
        colours,
    )
    words = [_header_words(tile_width, word) for word in ("predicted", "true")]
    for left, layer in zip(lefts, layers, strict=True):
        name = shorten(layer, max(3, group // 20))
        _write(axes, left + group / 2, top - 42, name, colours.ink, weight="bold", ha="center", va="bottom")
        for number, (word, colour) in enumerate(zip(words, (colours.second, colours.accent), strict=True)):
            if number < len(heats):
                middle = left + number * (tile_width + _GAP) + tile_width / 2
                _write(axes, middle, top - 10, word, colour, size=SMALL_SIZE, ha="center", va="bottom")
    for row in range(count):
        upper = top + row * row_height
        axes.hlines(upper, _MARGIN, axes.get_xlim()[1] - _MARGIN, color=colours.grid, linewidth=0.8)
        middle = upper + row_height / 2
        _caption(axes, errors, row, _MARGIN, middle - _CAPTION_HEIGHT / 2, colours)
        place = (tile_width, tile_height)
        _show(axes, enlarge_photo(images[row], scale), photo_left, middle - tile_height / 2, place)
        for column, left in enumerate(lefts):
            for number, heat in enumerate(heats):
                picture = overlay(images[row], heat[row, column], opacity=opacity, scale=scale)
                _show(axes, picture, left + number * (tile_width + _GAP), middle - tile_height / 2, place)
    return axes.figure  # type: ignore[return-value]


def _plot_photos(errors: Errors, images: NDArray[np.uint8], theme: Theme) -> Figure:
    count, height, width, _ = images.shape
    room = (_WIDTH - 2 * _MARGIN - (_PER_ROW - 1) * _GROUP_GAP) // _PER_ROW
    scale, tile_width, tile_height = _tile(width, height, min(room, _LARGEST_PHOTO))
    row_height = tile_height + _CAPTION_HEIGHT + _GROUP_GAP
    rows = -(-count // _PER_ROW)
    axes = _canvas(_WIDTH, _TITLE_HEIGHT - 60 + rows * row_height, theme)
    _title(axes, "Misclassified images", "", theme)
    for number in range(count):
        row, column = divmod(number, _PER_ROW)
        left, upper = _MARGIN + column * (room + _GROUP_GAP), _TITLE_HEIGHT + row * row_height - 50
        _show(axes, enlarge_photo(images[number], scale), left, upper, (tile_width, tile_height))
        _caption(axes, errors, number, left, upper + tile_height + _GAP, theme)
    return axes.figure  # type: ignore[return-value]


def _tile(width: int, height: int, room: int) -> tuple[int, int, int]:
    """Return the whole factor by which to enlarge, and the width and height that a photo then takes."""
    scale = max(1, room // width)
    # A photo wider than the room is made smaller when it is drawn.
    shrink = min(1.0, room / width)
    return scale, round(scale * width * shrink), round(scale * height * shrink)


def _header_words(room: int, word: str) -> str:
    """Return the word if a tile is wide enough for it, else as much of it as it is."""
    return word if room >= 120 else word[:4] if room >= 64 else ""


def _canvas(width: int, height: int, theme: Theme) -> Axes:
    """Return axes over a whole new figure, whose units are its pixels, from the top left."""
    figure = make_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH, theme=theme)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return axes


def _show(axes: Axes, picture: NDArray[np.uint8], left: float, top: float, size: tuple[int, int]) -> None:
    left, top = round(left), round(top)
    # "auto" draws to the pixel what fits, and smooths what has to be made smaller.
    axes.imshow(
        picture, extent=(left, left + size[0], top + size[1], top), aspect="auto", interpolation="auto"
    )
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())


def _title(axes: Axes, title: str, subtitle: str, theme: Theme) -> None:
    _write(axes, _MARGIN, _MARGIN, title, theme.ink, size=TEXT_SIZE + 2.5, weight="bold", va="top")
    _write(axes, _MARGIN, _MARGIN + 48, subtitle, theme.muted, size=TEXT_SIZE - 0.5, va="top")


def _caption(axes: Axes, errors: Errors, row: int, left: float, top: float, theme: Theme) -> None:
    """Write both classes and their probabilities into `_CAPTION_WIDTH` by `_CAPTION_HEIGHT`."""
    confidence, margin = float(errors.confidences[row]), float(errors.margins[row])
    lines = (
        (f"predicted, {confidence:.1%}", errors.predictions[row], theme.second),
        (f"true, {confidence - margin:.1%}", errors.labels[row], theme.accent),
    )
    for number, (word, index, colour) in enumerate(lines):
        upper = top + number * _CAPTION_HEIGHT / 2
        _write(axes, left, upper + 2, word, theme.muted, size=SMALL_SIZE, va="top")
        name = shorten(errors.class_names[index], 15)
        _write(axes, left, upper + 28, name, colour, weight="bold", va="top")


def _write(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    axes.text(x, y, text, color=colour, **{"size": TEXT_SIZE, **options})


def _check(errors: Any, images: Any, maps: Any, true_maps: Any, layers: Any) -> None:
    if not isinstance(errors, Errors) or not 1 <= len(errors) <= _MOST_ERRORS:
        got = len(errors) if isinstance(errors, Errors) else type(errors).__name__
        raise ValueError(f"errors must be a table of 1 to {_MOST_ERRORS} errors, got {got}")
    shape, kind = np.shape(images), getattr(images, "dtype", None)
    if kind != np.uint8 or len(shape) != 4 or shape[0] != len(errors) or shape[3] != 3 or 0 in shape:
        raise ValueError(f"images must be uint8 ({len(errors)}, H, W, 3), got {kind} {shape}")
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
