"""The cost of training over threads, processes, images and width, each against its own first point.

    uv run python benchmarks/bench_scaling.py --out docs/results/scaling.json --figures docs/figures
    uv run python benchmarks/bench_scaling.py --redraw docs/results/scaling.json --figures docs/figures

Each point is a slice of the recipe `fast` through cifar-train, in a process of its own; the points take turns.
`cores`: images per second of one thread, two threads, and two processes (strategy `ddp`) of one thread each, with equal
images per step. `images`: seconds of the whole process to train on a quarter, a half and all images of an epoch, with a
fitted line that begins at the start-up time. `width`: images per second of whitenet with the widths w, 4w, 4w.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np

from cifar_explain import THEMES, add_title, find_theme, make_figure, quiet_axes

Sides = dict[str, Callable[[], float]]

# Unit of a part's values, and their digits in the table.
PARTS = {"cores": ("images/s", 0), "images": ("seconds of the process", 1), "width": ("images/s", 0)}

# Images of a step, over all processes.
_BATCH = 250


def pace(*arguments: str, threads: int, steps: int, source: str, batch: int = _BATCH) -> Callable[[], float]:
    """Returns a measurement of the images per second of a slice."""
    fields = [f"--data.source={source}", f"--data.batch_size={batch}", *arguments]

    def measured() -> float:
        finished = harness.run_slice("fast", *fields, steps=steps, threads=threads)
        return float(finished.last_json()["images_per_second"])

    return measured


def seconds(images: int, *, threads: int, source: str) -> Callable[[], float]:
    """Returns a measurement of the seconds of a process that trains on so many images."""
    fields = [f"--data.source={source}", f"--data.batch_size={_BATCH}"]
    # The warm-up trains on a batch, too.
    steps = max(1, images // _BATCH - 1)
    return lambda: harness.run_slice("fast", *fields, warmup=1, steps=steps, threads=threads).costs[
        "wall_seconds"
    ]


def make_sides(options: argparse.Namespace) -> dict[str, Sides]:
    """Returns the measurements of each part, by the names of their points."""
    cores = min(2, harness.describe_machine()["cores"] or 1)
    slices = {"steps": options.steps, "source": options.source}
    sides: dict[str, Sides] = {"cores": {"1 thread": pace(threads=1, **slices)}}
    if cores > 1:
        ddp = ["--trainer.accelerator=cpu", f"--trainer.devices={cores}", "--trainer.strategy=ddp"]
        sides["cores"] |= {
            f"{cores} threads": pace(threads=cores, **slices),
            f"{cores} processes": pace(*ddp, threads=1, batch=_BATCH // cores, **slices),
        }
    on_all = {"threads": cores, "source": options.source}
    sides["images"] = {str(count): seconds(count, **on_all) for count in options.images}
    sides["width"] = {
        str(one): pace(widths_argument(one), steps=options.steps, **on_all) for one in options.widths
    }
    return sides


def widths_argument(width: int) -> str:
    """Returns the argument of cifar-train for whitenet with the widths w, 4w, 4w."""
    return f"--model.arguments={json.dumps({'widths': [width, 4 * width, 4 * width]})}"


def fit_line(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Returns the least-squares line of seconds over images, and its largest deviation as a share of y."""
    slope, start = np.polyfit(x, y, 1)
    deviation = np.abs(start + slope * np.asarray(x) - y) / y
    line = {"start_up_seconds": start, "seconds_per_image": slope, "largest_deviation": deviation.max()}
    return {name: float(value) for name, value in line.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measures the parts asked for and returns the report, which is written after each part."""
    report = harness.start_report("bench_scaling", ("torch", "lightning", "numpy", "cifar-train"))
    report |= {"recipe": "fast", "batch_size": _BATCH, "rounds": options.rounds}
    sides = make_sides(options)
    for part in options.parts:
        found = harness.interleave(sides[part], rounds=options.rounds)
        report[part] = {name: harness.summarize(one) | {"values": one} for name, one in found.items()}
        if part == "images" and len(found) > 1:
            medians = [one["median"] for one in report[part].values()]
            report["line"] = fit_line(options.images, medians)
        harness.write_json(options.out, report)
    return report


def tables(report: dict[str, Any]) -> str:
    """Returns the Markdown tables of a report, and its line."""
    texts = []
    for part, (unit, digits) in PARTS.items():
        if part in report:
            base = next(iter(report[part].values()))["median"]
            rows = [
                [name, str(one["n"]), harness.spread(one["values"], digits), f"{one['median'] / base:.2f}"]
                for name, one in report[part].items()
            ]
            texts.append(harness.markdown_table([part, "n", unit, "x the first"], rows))
    if line := report.get("line"):
        per_thousand = 1000 * line["seconds_per_image"]
        text = f"seconds = {line['start_up_seconds']:.1f} + {per_thousand:.3f} for each 1,000 images; "
        texts.append(f"{text}largest deviation from that line {line['largest_deviation']:.1%}")
    return "\n\n".join(texts)


def write_figures(report: dict[str, Any], folder: Path) -> None:
    """Draws `scaling.png` and `scaling-dark.png`: dots are medians, thin lines reach from lowest to highest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, theme in zip(("scaling.png", "scaling-dark.png"), THEMES, strict=True):
        look, figure = find_theme(theme), make_figure(height=3.6, theme=theme)
        panels = dict(zip(PARTS, figure.subplots(1, 3), strict=True))
        for part, axes in panels.items():
            quiet_axes(axes, theme=look)
            unit = "seconds of the whole process" if part == "images" else "images per second"
            add_title(axes, part.capitalize(), unit, theme=look)
            points = list(report[part].values())
            # The names of the points are numbers, but for the cores.
            x = range(len(points)) if part == "cores" else [int(key) for key in report[part]]
            y = [one["median"] for one in points]
            axes.vlines(
                x, *([one[end] for one in points] for end in ("lowest", "highest")), color=look.accent
            )
            axes.plot(x, y, "o-" if part == "width" else "o", color=look.accent, markersize=5, clip_on=False)
            axes.set_ylim(0, 1.05 * max(one["highest"] for one in points))
            axes.set_xticks(x, [f"{key}".replace(" ", "\n") for key in report[part]])
        for place, one in enumerate(report["cores"].values()):
            ratio = one["median"] / next(iter(report["cores"].values()))["median"]
            label = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "color": look.ink}
            panels["cores"].annotate(f"{ratio:.2f}x", (place, one["median"]), size=9, **label)
        panels["cores"].set_xlim(-0.4, len(report["cores"]) - 0.3)
        line, last = report["line"], max(int(count) for count in report["images"])
        start, end = line["start_up_seconds"], line["start_up_seconds"] + last * line["seconds_per_image"]
        panels["images"].plot([0, last], [start, end], "--", color=look.muted, linewidth=1)
        panels["images"].annotate(
            f"start-up {start:.0f} s", (0.02 * last, 0.85 * start), size=9, color=look.muted, va="top"
        )
        panels["images"].set_xlim(0, 1.05 * last)
        panels["images"].set_xlabel("images")
        panels["width"].set_xlabel("channels w of w, 4w, 4w")
        figure.savefig(folder / name)


def main() -> None:
    """Measures, or redraws an earlier measurement."""
    parser = harness.make_parser(__doc__, rounds=5, data=True)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--steps", type=int, default=80, help="of a slice (default: %(default)s)")
    parser.add_argument("--images", nargs="+", type=int, default=[12_000, 24_000, 48_000])
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 24, 32, 48, 64])
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the figures here")
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="measure nothing, read this JSON")
    options = parser.parse_args()
    if options.figures and not options.redraw and (len(options.parts) < 3 or len(options.images) < 2):
        parser.error("--figures needs all three parts and at least two numbers of images")
    if options.quick:
        options.steps, options.rounds = 15, 2
        options.images, options.widths = [3_000, 6_000, 12_000], [16, 32, 64]
    report = json.loads(options.redraw.read_text(encoding="utf-8")) if options.redraw else measure(options)
    print(f"{harness.headline(report)}\n\n{tables(report)}")
    if options.figures:
        write_figures(report, options.figures)


if __name__ == "__main__":
    main()
