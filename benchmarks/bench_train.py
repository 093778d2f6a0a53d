"""Whole trainings side by side: airbench94 of the package `airbench`, and recipes of cifar-train.

    uv run --group bench python benchmarks/bench_train.py --rivals airbench94,best,fast --seeds 0,1,2 --out results.json
    uv run --group bench python benchmarks/bench_train.py --quick
    uv run python benchmarks/bench_train.py --table results.json

Each run is a process of its own, from its start to its test result: `cifar-train --recipe R --report false`, or
`airbench_on_cpu.py` with airbench's own 9.9 epochs. The rivals take turns, seed by seed. Each finished run is written
at once, and one that is already in the file is not repeated, so an interrupted benchmark goes on with the same
command. The test set is read once in each run. `era` would take hours: of it the pace over some hundred steps is
measured and projected to its 24 epochs, and the table says so. `--quick` measures slices of all of them, in rounds,
and projects nothing.

Rivals: any recipe; `airbench94` in its own half precision's stand-in (bfloat16 where the processor has instructions for
it, else float32); `airbench94:float32`, `airbench94:bf16-mixed` and `airbench94:bfloat16` in that format. What follows
`--` are further arguments of cifar-train, for the recipes alone.
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import describe_machine, describe_versions, headline, start_report, timestamp, write_json
from processes import installed, python, run_process
from rounds import interleave, markdown_table, ratios, spread, summarize
from train_table import training_table

Record = dict[str, Any]

PACKAGES = ("torch", "lightning", "airbench", "numpy", "cifar-train")


def arguments_of(rival: str, arguments: Sequence[str]) -> list[str]:
    """Return those of the further arguments that concern a rival: all of them a recipe, none airbench.

    >>> arguments_of("fast", ["--trainer.max_epochs=1"]), arguments_of("airbench94", ["--trainer.max_epochs=1"])
    (['--trainer.max_epochs=1'], [])
    """
    return [] if is_airbench(rival) else list(arguments)


def pending(
    runs: Sequence[Record], rivals: Sequence[str], seeds: Sequence[int], *, arguments: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """Return which runs are still to be made, seed by seed, rival by rival.

    >>> pending([{"rival": "fast", "seed": 0, "arguments": []}], ["best", "fast"], [0, 1])
    [('best', 0), ('best', 1), ('fast', 1)]
    """
    made = [(run["rival"], run["seed"], run["arguments"]) for run in runs]
    return [
        (rival, seed)
        for seed in seeds
        for rival in rivals
        if (rival, seed, arguments_of(rival, arguments)) not in made
    ]


def airbench_arguments(rival: str) -> list[str]:
    """Return what `airbench_on_cpu.py` is told for a rival's name.

    >>> airbench_arguments("airbench94:float32"), airbench_arguments("airbench94")
    (['--format', 'float32'], ['--format', 'quickest'])
    """
    return ["--format", rival.partition(":")[2] or "quickest"]


def is_airbench(rival: str) -> bool:
    """Return whether a rival is airbench94 rather than a recipe.

    >>> is_airbench("airbench94:float32"), is_airbench("fast")
    (True, False)
    """
    return rival.partition(":")[0] == "airbench94"


def train_airbench(rival: str, seed: int) -> Record:
    """Train airbench94 in a process of its own and return what it came to."""
    command = python("airbench_on_cpu.py", "--seed", str(seed), *airbench_arguments(rival))
    finished = run_process(command)
    result = finished.last_json()
    return {
        "epochs": result["epochs"],
        "precision": result["format"],
        "threads": result["threads"],
        "test_accuracy": result["test_accuracy"],
        "test_accuracy_tta": result["test_accuracy_tta"],
        "tta": "flip and shift, 6 views",
        "wall_seconds": finished.wall_seconds,
        "train_seconds": result["train_seconds"],
        "images_per_second": result["images_per_second"],
        "peak_memory_mib": finished.peak_memory_mib,
        "projected": False,
    }


def train_recipe(
    recipe: str, seed: int, arguments: Sequence[str] = (), *, keep: Path | None = None
) -> Record:
    """Train a recipe as a user would and return what its summary says; in the folder `keep` the run stays."""
    with tempfile.TemporaryDirectory() if keep is None else contextlib.nullcontext(str(keep)) as runs:
        command = [installed("cifar-train"), "--recipe", recipe, "--seed_everything", str(seed)]
        finished = run_process([*command, "--report", "false", "--runs", runs, *arguments])
        summary = json.loads((Path(runs) / "latest" / "report" / "summary.json").read_text(encoding="utf-8"))
    metrics = summary["metrics"]
    tta, views = test_time_augmentation(metrics)
    return {
        "epochs": summary["epochs"],
        "precision": summary["environment"]["precision"],
        "threads": summary["environment"]["threads"],
        "test_accuracy": metrics["test_accuracy"],
        "test_accuracy_tta": tta,
        "tta": views,
        "metrics": metrics,
        "wall_seconds": finished.wall_seconds,
        # The command's own count, from its first line to the test result.
        "summary_wall_seconds": summary["wall_seconds"],
        "train_seconds": summary["train_seconds"],
        "images_per_second": summary["images_per_second"],
        "peak_memory_mib": finished.peak_memory_mib,
        "projected": False,
    }


def test_time_augmentation(metrics: dict[str, float]) -> tuple[float, str]:
    """Return the accuracy with the most views that a run tested, and what these are; of one view if it was all.

    >>> test_time_augmentation({"test_accuracy": 0.9, "test_accuracy_flip": 0.91})
    (0.91, 'flip, 2 views')
    """
    kinds = {"test_accuracy_tta": "flip and shift, 6 views", "test_accuracy_flip": "flip, 2 views"}
    found = ((metrics[name], views) for name, views in kinds.items() if name in metrics)
    return next(found, (metrics["test_accuracy"], "none"))


def project_recipe(recipe: str, seed: int, *, steps: int, arguments: Sequence[str] = ()) -> Record:
    """Measure a recipe's pace over some steps, and project the time of training from it; nothing is tested."""
    result = measure_slice(recipe, ["--steps", str(steps), "--warmup", "3"], seed=seed, arguments=arguments)
    images = result["epochs"] * (result["train_size"] // result["batch_size"]) * result["batch_size"]
    return {
        "epochs": result["epochs"],
        "precision": result["precision"],
        "threads": result["threads"],
        "measured_steps": result["steps"],
        "measured_seconds": result["seconds"],
        "wall_seconds": None,
        "train_seconds": images / result["images_per_second"],
        "images_per_second": result["images_per_second"],
        "peak_memory_mib": result["peak_memory_mib"],
        "projected": True,
    }


def measure_slice(
    rival: str, limits: Sequence[str], *, seed: int = 0, arguments: Sequence[str] = ()
) -> Record:
    """Return the pace of a slice of a rival's training at full resolution, start-up left out."""
    if is_airbench(rival):
        command = python("airbench_on_cpu.py", *limits, "--seed", str(seed), *airbench_arguments(rival))
    else:
        ours = ["--recipe", rival, "--seed_everything", str(seed), *arguments]
        command = python("lightning_slice.py", *limits, "--", *ours)
    finished = run_process(command)
    return {**finished.last_json(), "peak_memory_mib": finished.peak_memory_mib}


def run_all(options: argparse.Namespace) -> Record:
    """Make the runs that are missing, writing the file after each; return its content."""
    content: Record = {"benchmark": "bench_train", "runs": []}
    if options.out.exists():
        content = json.loads(options.out.read_text(encoding="utf-8"))
    todo = pending(content["runs"], options.rivals, options.seeds, arguments=options.arguments)
    for number, (rival, seed) in enumerate(todo, 1):
        started = timestamp()
        print(f"{started} {rival}, seed {seed} ({number} of {len(todo)})", file=sys.stderr, flush=True)
        record: Record = {
            "rival": rival,
            "seed": seed,
            "arguments": arguments_of(rival, options.arguments),
            "started": started,
            "machine": describe_machine(),
            "versions": describe_versions(PACKAGES),
        }
        if is_airbench(rival):
            record |= train_airbench(rival, seed)
        elif rival in options.projected:
            record |= project_recipe(rival, seed, steps=options.projected_steps, arguments=options.arguments)
        else:
            record |= train_recipe(rival, seed, options.arguments, keep=options.keep)
        content["runs"].append(record)
        write_json(options.out, content)
    return content


def run_quick(options: argparse.Namespace) -> Record:
    """Measure slices of all rivals in interleaved rounds; print and return them."""
    report = start_report("bench_train --quick", PACKAGES)
    limits = ["--seconds", str(options.seconds)]
    sides = {
        rival: lambda rival=rival: measure_slice(rival, limits, arguments=options.arguments)
        for rival in options.rivals
    }
    slices = interleave(sides, rounds=options.rounds)
    speeds = {rival: [one["images_per_second"] for one in found] for rival, found in slices.items()}
    report |= {
        "unit": "images per second, start-up and first steps left out",
        "slices": slices,
        "speeds": {rival: summarize(values) for rival, values in speeds.items()},
    }
    base = options.rivals[0]
    rows = []
    for rival, values in speeds.items():
        first = slices[rival][0]
        rows.append(
            [
                rival,
                str(first.get("precision") or first.get("format")),
                str(len(values)),
                spread(values),
                spread(ratios(values, speeds[base]), 2),
            ]
        )
    print(headline(report) + "\n")
    print(markdown_table(["rival", "format", "n", "images/s", f"x {base}"], rows))
    return report


def main() -> None:
    """Run the benchmark as the arguments say and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rivals", type=lambda text: text.split(","), default=["airbench94", "best", "fast"])
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--out", type=Path, help="write the runs here, as JSON, and go on from what is there")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the recipes' run directories in this folder"
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of these runs")
    parser.add_argument("--quick", action="store_true", help="slices in rounds instead of whole runs")
    parser.add_argument("--rounds", type=int, default=3, help="of --quick (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of a slice (default: %(default)s)")
    parser.add_argument(
        "--projected", type=lambda text: text.split(","), default=["era"], help="recipes too long to train"
    )
    parser.add_argument("--projected-steps", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("arguments", nargs="*", help="further arguments of cifar-train, after --")
    options = parser.parse_args()
    # So that a training does not go on when the benchmark is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.table:
        print(training_table(json.loads(options.table.read_text(encoding="utf-8"))["runs"]))
    elif options.quick:
        report = run_quick(options)
        if options.out:
            write_json(options.out, report)
    elif options.out:
        print(training_table(run_all(options)["runs"]))
    else:
        parser.error("whole runs need --out, or hours would be lost with an interruption")


if __name__ == "__main__":
    main()
