"""The colours of figures, in a light and a dark theme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from cifar_explain.validation import check_choice

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap


@dataclass(frozen=True)
class Theme:
    """Colours of figures, as hexadecimal RGB. Teal and orange differ for the colour-blind too.

    Args:
        name: "light" or "dark".
        surface: Background.
        ink: Text and what matters most.
        muted: Secondary text and lines.
        grid: Grid lines and frames.
        accent: First series: teal.
        second: Second series: orange.
        good: What went well.
        bad: What went wrong.
        sequential: Stops of a colour map from little to much, in the accent's hue.
        sequential_second: The same in the second colour's hue.
    """

    name: str
    surface: str
    ink: str
    muted: str
    grid: str
    accent: str
    second: str
    good: str
    bad: str
    sequential: tuple[str, ...]
    sequential_second: tuple[str, ...]

    @property
    def colormap(self) -> LinearSegmentedColormap:
        """`sequential` as a colour map of Matplotlib's, not registered anywhere."""
        return _colormap(self.sequential)

    @property
    def colormap_second(self) -> LinearSegmentedColormap:
        """`sequential_second` as a colour map of Matplotlib's, not registered anywhere."""
        return _colormap(self.sequential_second)


#: The themes by name.
THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "light": Theme(
            name="light",
            surface="#ffffff",
            ink="#1b2430",
            muted="#5a6675",
            grid="#e3e8ee",
            accent="#0f766e",
            second="#c2500a",
            good="#0f766e",
            bad="#c2500a",
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
            good="#2dd4bf",
            bad="#fb923c",
            sequential=("#18212b", "#124a4a", "#127c74", "#2dd4bf", "#b9f7ec"),
            sequential_second=("#1b212a", "#573012", "#a35314", "#fb923c", "#fedcb8"),
        ),
    }
)


def find_theme(name: str | Theme) -> Theme:
    """Return the theme of this name; a theme as it is.

    Raises:
        ValueError: If there is none of this name.

    >>> find_theme("dark").accent
    '#2dd4bf'
    """
    return name if isinstance(name, Theme) else THEMES[check_choice("theme", name, THEMES)]


def _colormap(stops: tuple[str, ...]) -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("sequential", stops)
