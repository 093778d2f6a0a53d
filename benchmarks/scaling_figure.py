"""The figure of `bench_scaling.py`, for light and for dark pages."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_explain import THEMES, Theme, add_title, find_theme, make_figure, quiet_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_scaling(report: dict[str, Any], *, theme: str = "light") -> "Figure":
    """Return three panels: threads and processes, images, width. Marks are medians, thin lines lowest to highest.

    Raises:
        ValueError: If the theme is unknown.
    """
    look = find_theme(theme)
    figure = make_figure(height=3.6, theme=theme)
    cores, images, width = figure.subplots(1, 3)
    _draw_cores(cores, report["cores"], look)
    _draw_images(images, report["images"], report["line"], look)
    _draw_width(width, report["width"], look)
    return figure


def write_scaling(report: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write `scaling.png` and `scaling-dark.png` into a folder, made if missing; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "scaling.png", folder / "scaling-dark.png")
    for path, theme in zip(paths, THEMES, strict=True):
        plot_scaling(report, theme=theme).savefig(path, format="png")
    return paths


def _draw_cores(axes: "Axes", part: dict[str, Any], look: Theme) -> None:
    quiet_axes(axes, theme=look)
    add_title(axes, "Cores", "images per second", theme=look)
    names = list(part)
    medians = [part[name]["median"] for name in names]
    colours = [look.second if "process" in name else look.accent for name in names]
    axes.bar(range(len(names)), medians, width=0.66, color=colours, zorder=2)
    for place, (name, median) in enumerate(zip(names, medians, strict=True)):
        axes.vlines(
            place, part[name]["lowest"], part[name]["highest"], color=look.ink, linewidth=1.2, zorder=3
        )
        # Inside the bar, clear of the line that shows the spread.
        axes.text(
            place,
            0.06 * max(medians),
            f"{median / medians[0]:.2f}x",
            ha="center",
            color=look.surface,
            size=9,
            weight="bold",
            zorder=4,
        )
    # "2 processes" beside "2 threads" needs two lines.
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, None)


def _draw_images(axes: "Axes", part: dict[str, Any], line: dict[str, float], look: Theme) -> None:
    quiet_axes(axes, theme=look)
    add_title(axes, "Images", "seconds of the whole process", theme=look)
    thousands = [int(count) / 1000 for count in part]
    start, slope = line["start_up_seconds"], 1000 * line["seconds_per_image"]
    ends = [0, max(thousands)]
    axes.plot(
        ends, [start + slope * x for x in ends], color=look.muted, linewidth=1, linestyle="--", zorder=2
    )
    _marks(axes, thousands, part, look)
    axes.annotate(
        f"start-up {start:.0f} s",
        (0, start),
        xytext=(8, -2),
        textcoords="offset points",
        va="top",
        color=look.muted,
        size=8.5,
    )
    axes.set_xlim(0, max(thousands))
    axes.set_ylim(0, None)
    axes.set_xticks([0, *thousands])
    axes.set_xlabel("thousand images")


def _draw_width(axes: "Axes", part: dict[str, Any], look: Theme) -> None:
    quiet_axes(axes, theme=look)
    add_title(axes, "Width", "images per second", theme=look)
    widths = [int(width) for width in part]
    axes.plot(widths, [one["median"] for one in part.values()], color=look.accent, linewidth=1.8, zorder=2)
    _marks(axes, widths, part, look)
    axes.set_ylim(0, None)
    axes.set_xticks(widths)
    axes.set_xlabel("channels w of w, 4w, 4w")


def _marks(axes: "Axes", places: list[Any], part: dict[str, Any], look: Theme) -> None:
    values = list(part.values())
    lowest, highest = [one["lowest"] for one in values], [one["highest"] for one in values]
    axes.vlines(places, lowest, highest, color=look.accent, linewidth=1.2, zorder=2, clip_on=False)
    medians = [one["median"] for one in values]
    # The last mark lies on the edge.
    axes.plot(places, medians, "o", color=look.accent, markersize=5, zorder=3, clip_on=False)
