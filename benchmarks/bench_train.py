"""Whole trainings, from the command to the test result: recipes of cifar-train against airbench94.

    uv run --group bench python benchmarks/bench_train.py --rivals airbench94 best fast --seeds 0 1 2 --out runs.json
    uv run --group bench python benchmarks/bench_train.py --quick
    uv run python benchmarks/bench_train.py --table runs.json

Each run is a process of its own: `cifar-train --recipe R --report false`, or `airbench_on_cpu.py`. The rivals take
turns, seed by seed, and each reads the test set once. Each finished run is written at once, so the same command resumes
an interrupted benchmark. `--quick` measures slices of all rivals in rounds.

Rivals: any recipe; `airbench94`, in bfloat16 where the processor has instructions for it, else in float32;
`airbench94:float32`, `airbench94:bf16-mixed` and `airbench94:bfloat16`. Arguments after `--` go to cifar-train.
"""

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import harness

Record = dict[str, Any]

PACKAGES = ("torch", "lightning", "airbench", "numpy", "cifar-train")
HEADER = ["rival", "n", "epochs", "format", "test accuracy (%)", "with TTA (%)", "wall time", "training"]
HEADER += ["images/s", "peak memory (MiB)"]


def pending(
    runs: Sequence[Record], rivals: Sequence[str], seeds: Sequence[int], *, arguments: Sequence[str] = ()
) -> list[Record]:
    """Returns the runs that are still to be made: rival, seed and the arguments that concern the rival."""
    made = [{name: run[name] for name in ("rival", "seed", "arguments")} for run in runs]
    wanted = [
        {"rival": rival, "seed": seed, "arguments": [] if is_airbench(rival) else list(arguments)}
        for seed in seeds
        for rival in rivals
    ]
    return [run for run in wanted if run not in made]


def is_airbench(rival: str) -> bool:
    """Tells airbench94, in any number format, from a recipe."""
    return rival.partition(":")[0] == "airbench94"


def run_airbench(rival: str, *arguments: str) -> harness.Finished:
    """Runs airbench94 in the number format that the rival's name asks for."""
    number_format = rival.partition(":")[2] or "quickest"
    return harness.run_process(harness.script("airbench_on_cpu.py", "--format", number_format, *arguments))


def train_airbench(rival: str, seed: int) -> Record:
    """Trains airbench94 to its end."""
    finished = run_airbench(rival, "--seed", str(seed))
    result = finished.last_json()
    about = {"precision": result.pop("format"), "tta": "flip and shift, 6 views"}
    return result | about | finished.costs


def train_recipe(recipe: str, seed: int, arguments: Sequence[str], *, keep: Path | None = None) -> Record:
    """Trains a recipe as a user would; the run directory stays in the folder `keep`."""
    with tempfile.TemporaryDirectory() if keep is None else contextlib.nullcontext(str(keep)) as runs:
        command = [harness.installed("cifar-train"), "--recipe", recipe, "--seed_everything", str(seed)]
        finished = harness.run_process([*command, "--report", "false", "--runs", runs, *arguments])
        summary = json.loads((Path(runs) / "latest" / "report" / "summary.json").read_text(encoding="utf-8"))
    accuracy, tta = best_tta(summary["metrics"])
    copied = ("epochs", "metrics", "train_seconds", "images_per_second")
    return {
        **{name: summary[name] for name in copied},
        **{name: summary["environment"][name] for name in ("precision", "threads")},
        "test_accuracy": summary["metrics"]["test_accuracy"],
        "test_accuracy_tta": accuracy,
        "tta": tta,
        **finished.costs,
    }


def best_tta(metrics: dict[str, float]) -> tuple[float, str]:
    """Returns the accuracy with the most test-time augmentation that a run measured, and its name."""
    kinds = {"test_accuracy_tta": "flip and shift, 6 views", "test_accuracy_flip": "flip, 2 views"}
    found = ((metrics[name], kind) for name, kind in kinds.items() if name in metrics)
    return next(found, (metrics["test_accuracy"], "none"))


def measure_slice(rival: str, *, seed: int = 0, arguments: Sequence[str] = (), **limits: Any) -> Record:
    """Measures the pace of a rival's training; the limits are those of `harness.Pace`."""
    if is_airbench(rival):
        words = [word for name, value in limits.items() for word in (f"--{name}", str(value))]
        finished = run_airbench(rival, "--seed", str(seed), *words)
    else:
        finished = harness.run_slice(rival, "--seed_everything", str(seed), *arguments, **limits)
    return finished.last_json() | finished.costs


def run_all(options: argparse.Namespace) -> list[Record]:
    """Makes the runs that are missing and writes the file after each; returns all runs of the file."""
    content: Record = {"benchmark": "bench_train", "runs": []}
    if options.out.exists():
        content = json.loads(options.out.read_text(encoding="utf-8"))
    for run in pending(content["runs"], options.rivals, options.seeds, arguments=options.arguments):
        rival, seed = run["rival"], run["seed"]
        print(f"{harness.timestamp()} {rival}, seed {seed}", file=sys.stderr, flush=True)
        record = {**run, "started": harness.timestamp(), "machine": harness.describe_machine()}
        record["versions"] = harness.describe_versions(PACKAGES)
        if is_airbench(rival):
            made = train_airbench(rival, seed)
        else:
            made = train_recipe(rival, seed, options.arguments, keep=options.keep)
        content["runs"].append(made | record)
        harness.write_json(options.out, content)
    return content["runs"]


def run_quick(options: argparse.Namespace) -> None:
    """Measures slices of all rivals in rounds and prints their table."""
    report = harness.start_report("bench_train --quick", PACKAGES)
    sides = {
        rival: lambda rival=rival: measure_slice(rival, arguments=options.arguments, seconds=options.seconds)
        for rival in options.rivals
    }
    report["slices"] = harness.interleave(sides, rounds=options.rounds)
    speeds = {rival: [one["images_per_second"] for one in found] for rival, found in report["slices"].items()}
    base = options.rivals[0]
    rows, report["images_per_second"] = harness.compare(speeds, base)
    print(harness.headline(report) + "\n")
    print(harness.markdown_table(["rival", "n", "images/s", f"x {base}"], rows))
    harness.write_json(options.out, report)


def training_table(runs: Sequence[Record]) -> str:
    """Returns a Markdown table with a row for each rival and its further arguments, and notes below it."""
    groups: dict[str, list[Record]] = {}
    for run in runs:
        groups.setdefault(" ".join([run["rival"], *run["arguments"]]), []).append(run)
    notes = [
        "Accuracy: mean and sample standard deviation over seeds. Wall time: of the whole process. "
        "Times and images/s: median (lowest to highest). Memory: the highest of a row."
    ]
    for name, (run, *_) in groups.items():
        notes.append(f"{name}: TTA is {run['tta']}.")
    rows = [_row(name, members) for name, members in groups.items()]
    return "\n".join([harness.markdown_table(HEADER, rows), "", *notes])


def _row(name: str, runs: Sequence[Record]) -> list[str]:
    def values(field: str, factor: float = 1) -> list[float]:
        return [factor * run[field] for run in runs]

    def durations(field: str) -> str:
        return harness.spread(values(field), write=lambda value: str(timedelta(seconds=round(value))))

    epochs = " ".join(sorted({f"{run['epochs']:g}" for run in runs}))
    cells = [name, str(len(runs)), epochs, " ".join(sorted({run["precision"] for run in runs}))]
    accuracies = ("test_accuracy", "test_accuracy_tta")
    cells += [harness.mean_and_deviation(values(field, 100)) for field in accuracies]
    cells += [durations("wall_seconds"), durations("train_seconds")]
    speed = statistics.median(values("images_per_second"))
    return [*cells, f"{speed:,.0f}", f"{max(values('peak_memory_mib')):,.0f}"]


def main() -> None:
    """Runs what the arguments ask for and prints its table."""
    parser = harness.make_parser(__doc__, rounds=3)
    parser.add_argument("--rivals", nargs="+", default=["airbench94", "best", "fast"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the recipes' run directories here")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of these runs")
    parser.add_argument("--seconds", type=float, default=10, help="of a slice (default: %(default)s)")
    parser.add_argument("arguments", nargs="*", help="further arguments of cifar-train, after --")
    options = parser.parse_args()
    # So that a training does not continue when the benchmark is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.table:
        print(training_table(json.loads(options.table.read_text(encoding="utf-8"))["runs"]))
    elif options.quick:
        run_quick(options)
    elif options.out:
        print(training_table(run_all(options)))
    else:
        parser.error("whole trainings need --out, or an interruption would lose them")


if __name__ == "__main__":
    main()
