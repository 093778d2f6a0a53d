"""The style of all figures: a light and a dark theme, quiet axes, titles and legends, without pyplot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cifar_explain.validation import check_choice

# Matplotlib is imported when first needed, so that importing the package stays quick.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

#: Directions of the grid lines behind a figure.
Grid: TypeAlias = Literal["x", "y", "both", "none"]

#: Inches: at 200 dots per inch 1800 pixels, which a README shows at half that and a dense screen in full.
FIGURE_WIDTH = 9.0
DOTS_PER_INCH = 200

#: Characters of a class or layer name that figures show.
NAME_LENGTH = 22

#: Points.
TEXT_SIZE = 10.0
SMALL_SIZE = 8.5


@dataclass(frozen=True)
class Theme:
    """Colours of figures, as hexadecimal RGB; teal and orange differ for the colour-blind too.

    Text is in `ink` or `muted` on the `surface`, with lines of `grid`. The first series, and what went well, is in
    the `accent`, teal; the `second`, and what went wrong, is orange. `sequential` and `sequential_second` are stops
    of colour maps from little to much in the two hues.
    """

    name: str
    surface: str
    ink: str
    muted: str
    grid: str
    accent: str
    second: str
    sequential: tuple[str, ...]
    sequential_second: tuple[str, ...]

    @property
    def colormap(self) -> LinearSegmentedColormap:
        """`sequential` as a colour map of Matplotlib's, not registered anywhere."""
        from matplotlib.colors import LinearSegmentedColormap

        return LinearSegmentedColormap.from_list("sequential", self.sequential)

    @property
    def colormap_second(self) -> LinearSegmentedColormap:
        """The same of `sequential_second`."""
        return replace(self, sequential=self.sequential_second).colormap


#: The themes by name.
THEMES: Mapping[str, Theme] = MappingProxyType({
    "light": Theme(
        name="light",
        surface="#ffffff",
        ink="#1b2430",
        muted="#5a6675",
        grid="#e3e8ee",
        accent="#0f766e",
        second="#c2500a",
        sequential=("#f3f8f8", "#b5dcd7", "#5cb3a9", "#0f766e", "#0a4f4a"),
        sequential_second=("#fdf7f1", "#fbd3ac", "#f19a52", "#c2500a", "#7f3306"),
    ),
    "dark": Theme(
        name="dark",
        surface="#10161d",
        ink="#e8edf2",
        muted="#9aa8b6",
        grid="#28323d",
        accent="#2dd4bf",
        second="#fb923c",
        sequential=("#18212b", "#124a4a", "#127c74", "#2dd4bf", "#b9f7ec"),
        sequential_second=("#1b212a", "#573012", "#a35314", "#fb923c", "#fedcb8"),
    ),
})  # fmt: skip


def find_theme(name: str | Theme) -> Theme:
    """Returns the theme of this name; a theme as it is."""
    return name if isinstance(name, Theme) else THEMES[check_choice("theme", name, THEMES)]


def make_figure(width: float = FIGURE_WIDTH, height: float = 4.5, *, theme: str | Theme = "light") -> Figure:
    """Returns an empty figure of so many inches, with the theme's background and 200 dots per inch.

    Neither pyplot nor `rcParams` are touched, so that threads can each make their own. Labels take the room they need.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    surface = find_theme(theme).surface
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=surface, layout=layout)


def quiet_axes(axes: Axes, *, theme: str | Theme = "light", grid: Grid = "y") -> Axes:
    """Returns the axes with a thin grid, small muted tick labels and no frame but the bottom and left lines."""
    colours = find_theme(theme)
    axes.set_facecolor(colours.surface)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set(color=colours.grid, linewidth=1.0)
    axes.grid(False)
    if grid != "none":
        axes.grid(True, axis=grid, color=colours.grid, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, pad=5, labelcolor=colours.muted, labelsize=SMALL_SIZE + 0.5)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=colours.muted, size=TEXT_SIZE)
    return axes


def titled_axes(
    height: float, title: str, subtitle: str = "", *, theme: str | Theme, grid: Grid
) -> tuple[Figure, Axes, Theme]:
    """Returns a figure of full width, its only axes with title and grid, and the theme."""
    colours = find_theme(theme)
    figure = make_figure(height=height, theme=colours)
    axes = quiet_axes(figure.subplots(), theme=colours, grid=grid)
    add_title(axes, title, subtitle, theme=colours)
    return figure, axes, colours


def add_title(axes: Axes, title: str, subtitle: str = "", *, theme: str | Theme = "light") -> None:
    """Writes a bold title above the axes, left-aligned, with a quieter subtitle below it."""
    colours = find_theme(theme)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    title_look: dict[str, Any] = {"color": colours.ink, "size": TEXT_SIZE + 2.5, "weight": "bold"}
    subtitle_look: dict[str, Any] = {"color": colours.muted, "size": TEXT_SIZE - 0.5, "linespacing": 1.35}
    lift = 10 + 15 * len(subtitle.splitlines())
    for text, above, look in ((title, lift, title_look), (subtitle, 8, subtitle_look)):
        if text:
            axes.annotate(text, (0, 1), xytext=(0, above), annotation_clip=False, **place, **look)


def add_legend(place: Axes | Figure, *, theme: str | Theme = "light", **options: Any) -> None:
    """Adds a legend without frame to axes or a figure; `options` are those of Matplotlib's `legend`."""
    look = {"frameon": False, "labelcolor": find_theme(theme).ink, "fontsize": TEXT_SIZE - 0.5}
    place.legend(**look, **options)


def percent(share: float, digits: int = 1) -> str:
    """Returns a share in percent.

    >>> percent(0.8976), percent(0.8976, 2)
    ('89.8 %', '89.76 %')
    """
    return f"{100 * share:.{digits}f} %"


def shorten(text: str, limit: int) -> str:
    """Returns the text on one line of at most `limit` characters, a longer one with an ellipsis at its end.

    >>> shorten("hummingbird", 8), shorten("bird", 8)
    ('humming…', 'bird')
    """
    line = " ".join(text.split())
    kept = line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
    # A dollar sign would begin a formula.
    return kept.replace("$", r"\$")
