"""How the cost of training grows: with threads, processes, images and width.

    uv run python benchmarks/bench_scaling.py --out docs/results/scaling.json --figures docs/figures
    uv run python benchmarks/bench_scaling.py --redraw docs/results/scaling.json --figures docs/figures

Each point is a slice of the recipe `fast` through cifar-train, in a process of its own; the points take turns.
`cores`: one thread, two threads, and two processes (Lightning's `ddp`) of one thread each, with the same number of
images a step. `images`: the time of the whole process, from start to end, to train on a quarter, a half and all images
of an epoch; a straight line is fitted, whose beginning is the start-up. `width`: images per second of whitenet with the
widths w, 4w, 4w. `--quick` makes the slices short and takes a sixteenth, an eighth and a quarter of an epoch.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import headline, start_report, write_json
from processes import python, run_process
from rounds import interleave, markdown_table, spread, summarize

RECIPE = "fast"

#: Base widths of whitenet; `fast` has 32, `best` 64.
WIDTHS = (16, 24, 32, 48, 64)

# Images of a step, those of all processes together.
_BATCH = 250


def slice_command(limits: Sequence[str], arguments: Sequence[str], *, source: str) -> list[str]:
    """Return the command that trains a slice of the recipe."""
    ours = ["--recipe", RECIPE, "--data.source", source, *arguments]
    return python("lightning_slice.py", *limits, "--", *ours)


def pace_of(
    limits: Sequence[str], arguments: Sequence[str], *, threads: int, source: str
) -> Callable[[], float]:
    """Return what measures the images per second of a slice with so many threads a process."""
    command = slice_command(limits, arguments, source=source)

    def measured() -> float:
        result = run_process(command, environment={"OMP_NUM_THREADS": str(threads)}).last_json()
        return float(result["images_per_second"])

    return measured


def core_sides(*, cores: int, steps: int, source: str) -> dict[str, Callable[[], float]]:
    """Return what measures one thread, all threads, and as many processes; images per second."""
    limits = ["--steps", str(steps)]
    together = ["--data.batch_size", str(_BATCH)]
    several = ["--data.batch_size", str(_BATCH // cores), "--trainer.accelerator", "cpu"]
    several += ["--trainer.devices", str(cores), "--trainer.strategy", "ddp"]
    sides = {"1 thread": pace_of(limits, together, threads=1, source=source)}
    if cores > 1:
        sides[f"{cores} threads"] = pace_of(limits, together, threads=cores, source=source)
        sides[f"{cores} processes"] = pace_of(limits, several, threads=1, source=source)
    return sides


def width_sides(
    widths: Sequence[int], *, threads: int, steps: int, source: str
) -> dict[int, Callable[[], float]]:
    """Return what measures whitenet at each base width; images per second."""
    sides = {}
    for width in widths:
        widened = ["--model.arguments", json.dumps({"widths": [width, 4 * width, 4 * width]})]
        limits = ["--steps", str(steps)]
        sides[width] = pace_of(limits, widened, threads=threads, source=source)
    return sides


def image_sides(images: Sequence[int], *, threads: int, source: str) -> dict[int, Callable[[], float]]:
    """Return what measures the training on so many images: seconds of the whole process."""

    def side(count: int) -> Callable[[], float]:
        # One batch more than counts, since the first is the warm-up.
        limits = ["--warmup", "1", "--steps", str(max(1, count // _BATCH - 1))]
        command = slice_command(limits, ["--data.batch_size", str(_BATCH)], source=source)
        variables = {"OMP_NUM_THREADS": str(threads)}
        return lambda: run_process(command, environment=variables).wall_seconds

    return {count: side(count) for count in images}


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return intercept and slope of the least-squares line, and the largest deviation from it as a share of y.

    >>> intercept, slope, deviation = fit_line([1, 2, 3], [5, 7, 9])
    >>> round(intercept, 6), round(slope, 6), round(deviation, 6)
    (3.0, 2.0, 0.0)
    """
    slope, intercept = np.polyfit(x, y, 1)
    deviation = np.abs(np.asarray(y) - (intercept + slope * np.asarray(x))) / np.asarray(y)
    return float(intercept), float(slope), float(deviation.max())


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all three parts and return the report; JSON's keys are texts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(2, cores)
    sides = {
        "cores": core_sides(cores=cores, steps=options.steps, source=options.source),
        "images": image_sides(options.images, threads=cores, source=options.source),
        "width": width_sides(options.widths, threads=cores, steps=options.steps, source=options.source),
    }
    report = start_report("bench_scaling", ("torch", "lightning", "numpy", "cifar-train"))
    report |= {"recipe": RECIPE, "batch_size": _BATCH, "rounds": options.rounds}
    for part in options.parts:
        found = interleave(sides[part], rounds=options.rounds)
        report[part] = {str(name): {**summarize(values), "values": values} for name, values in found.items()}
        if options.out:
            write_json(options.out, report)
    if "images" in report:
        counts = [int(count) for count in report["images"]]
        medians = [one["median"] for one in report["images"].values()]
        if len(counts) > 1:
            start, slope, deviation = fit_line(counts, medians)
            report["line"] = {
                "start_up_seconds": start,
                "seconds_per_image": slope,
                "largest_deviation": deviation,
            }
    return report


def tables(report: dict[str, Any]) -> str:
    """Return the Markdown tables of a report."""
    parts = []
    units = {"cores": ("images/s", 0), "images": ("seconds of the process", 1), "width": ("images/s", 0)}
    for part, (unit, digits) in units.items():
        if part not in report:
            continue
        base = statistics.median(next(iter(report[part].values()))["values"])
        rows = [
            [name, str(one["n"]), spread(one["values"], digits), f"{one['median'] / base:.2f}"]
            for name, one in report[part].items()
        ]
        parts.append(markdown_table([part, "n", unit, "x the first"], rows))
    if "line" in report:
        line = report["line"]
        parts.append(
            f"seconds = {line['start_up_seconds']:.1f} + {1000 * line['seconds_per_image']:.3f} for each 1,000 images; "
            f"largest deviation from that line {line['largest_deviation']:.1%}"
        )
    return "\n\n".join(parts)


def main() -> None:
    """Run the benchmark, or draw an earlier one again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    integers: Callable[[str], list[int]] = lambda text: [int(one) for one in text.split(",")]  # noqa: E731
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["cores", "images", "width"])
    parser.add_argument("--steps", type=int, default=80, help="that count in a slice (default: %(default)s)")
    parser.add_argument("--images", type=integers, default=[12_000, 24_000, 48_000])
    parser.add_argument("--widths", type=integers, default=list(WIDTHS))
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--source", default="auto", help="of the images (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="short slices, 2 rounds, 3 widths")
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="draw scaling.png and scaling-dark.png there"
    )
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="measure nothing, take this JSON")
    options = parser.parse_args()
    if options.figures and not options.redraw and (len(options.parts) < 3 or len(options.images) < 2):
        parser.error("--figures needs all three parts, and two numbers of images at least")
    if options.quick:
        options.steps, options.rounds = 15, 2
        options.images, options.widths = [3_000, 6_000, 12_000], [16, 32, 64]
    report = json.loads(options.redraw.read_text(encoding="utf-8")) if options.redraw else measure(options)
    print(f"{headline(report)}\n\n{tables(report)}")
    if options.out and not options.redraw:
        write_json(options.out, report)
    if options.figures:
        from scaling_figure import write_scaling

        write_scaling(report, options.figures)


if __name__ == "__main__":
    main()
