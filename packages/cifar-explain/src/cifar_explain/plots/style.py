"""What all figures share: figures without pyplot, quiet axes, titles and legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from cifar_explain.plots.themes import Theme, find_theme
from cifar_explain.validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: at 200 dots per inch 1800 pixels, which a README shows at half that and a dense screen in full.
FIGURE_WIDTH = 9.0
DOTS_PER_INCH = 200

#: Characters of a class or layer name that figures show.
NAME_LENGTH = 22

#: Points.
TEXT_SIZE = 10.0
SMALL_SIZE = 8.5


def make_figure(width: float = FIGURE_WIDTH, height: float = 4.5, *, theme: str | Theme = "light") -> Figure:
    """Return an empty figure with the theme's background, whose `savefig` gives 200 dots per inch.

    It belongs to its caller alone: pyplot and `rcParams` are not touched, so that threads can each make their
    own. Its layout is constrained: labels take the room they need.

    Args:
        width: Inches, greater than 0 and at most 100.
        height: Inches, the same.
        theme: Name of one of `THEMES`, or a theme.

    Raises:
        ValueError: If a size or the theme is none of these.

    >>> make_figure(4, 3).get_size_inches()
    array([4., 3.])
    """
    colours = find_theme(theme)
    for argument, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
            raise ValueError(f"{argument} must be inches, greater than 0 and at most 100, got {value!r}")
    # Imported when first needed, so that importing the package stays quick.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=colours.surface, layout=layout)


def quiet_axes(
    axes: Axes, *, theme: str | Theme = "light", grid: Literal["x", "y", "both", "none"] = "y"
) -> Axes:
    """Return the axes with a thin grid, small muted tick labels and no frame but the bottom and left lines.

    Raises:
        ValueError: If the theme or `grid` is unknown.

    >>> axes = quiet_axes(make_figure(4, 3).subplots())
    >>> axes.spines["top"].get_visible()
    False
    """
    colours = find_theme(theme)
    check_choice("grid", grid, ["x", "y", "both", "none"])
    axes.set_facecolor(colours.surface)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set(color=colours.grid, linewidth=1.0)
    axes.grid(False)
    if grid != "none":
        axes.grid(True, axis=grid, color=colours.grid, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    axes.tick_params(
        which="both",
        length=0,
        pad=5,
        colors=colours.grid,
        labelcolor=colours.muted,
        labelsize=SMALL_SIZE + 0.5,
    )
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=colours.muted, size=TEXT_SIZE)
    return axes


def add_title(axes: Axes, title: str, subtitle: str = "", *, theme: str | Theme = "light") -> None:
    """Write a bold title above the axes, left-aligned, with a quieter line below it.

    Raises:
        ValueError: If the theme is unknown.

    >>> axes = make_figure(4, 3).subplots()
    >>> add_title(axes, "Accuracy", "share of the test images")
    >>> [text.get_text() for text in axes.texts]
    ['Accuracy', 'share of the test images']
    """
    colours = find_theme(theme)
    place: dict[str, Any] = {
        "xy": (0, 1),
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "bottom",
        "annotation_clip": False,
    }
    lift = 10 + (15 * len(subtitle.splitlines()))
    axes.annotate(title, xytext=(0, lift), color=colours.ink, size=TEXT_SIZE + 2.5, weight="bold", **place)
    if subtitle:
        axes.annotate(
            subtitle, xytext=(0, 8), color=colours.muted, size=TEXT_SIZE - 0.5, linespacing=1.35, **place
        )


def add_legend(place: Axes | Figure, *, theme: str | Theme = "light", **options: Any) -> None:
    """Add a legend without frame to axes or below a figure.

    Args:
        place: Axes or figure whose labelled lines are listed.
        theme: Name of one of `THEMES`, or a theme.
        options: Those of Matplotlib's `legend`, such as `ncols` and `loc`, in a figure "outside lower center".

    Raises:
        ValueError: If the theme is unknown.

    >>> axes = make_figure(4, 3).subplots()
    >>> _ = axes.plot([0, 1], label="loss")
    >>> add_legend(axes, loc="upper right")
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['loss']
    """
    colours = find_theme(theme)
    place.legend(frameon=False, labelcolor=colours.ink, fontsize=TEXT_SIZE - 0.5, **options)


def shorten(text: str, limit: int) -> str:
    """Return the text on one line of at most `limit` characters, a longer one with an ellipsis at its end.

    >>> shorten("hummingbird", 8), shorten("bird", 8)
    ('humming…', 'bird')
    """
    line = " ".join(text.split())
    kept = line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
    # A dollar sign would begin a formula.
    return kept.replace("$", r"\$")
