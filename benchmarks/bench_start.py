"""How long commands and imports take to start, each in a fresh process.

    uv run python benchmarks/bench_start.py [--quick] [--out results.json]

Ratios are to `python -c "import lightning"`, round by round. The rivals take turns. The first round, which reads the
files from the disk, does not count.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from machine import headline, start_report, write_json
from processes import installed, run_process
from rounds import interleave, markdown_table, ratios, spread, summarize

#: What the others are compared with.
BASE = "import lightning"

_MODULES = ("torch", "cifar_models", "cifar_data", "cifar_explain", "cifar_train", "cifar_space")


def commands() -> dict[str, list[str]]:
    """Return the rivals: a label, and the command that runs in a process of its own.

    >>> commands()["import torch"][1:]
    ['-c', 'import torch']
    """
    rivals = {BASE: [sys.executable, "-c", BASE], "python": [sys.executable, "-c", "pass"]}
    rivals |= {f"import {name}": [sys.executable, "-c", f"import {name}"] for name in _MODULES}
    rivals["cifar-train --help"] = [installed("cifar-train"), "--help"]
    # What a user types; without a look at whether the environment is up to date, which may change it.
    if uv := shutil.which("uv"):
        rivals["uv run --no-sync cifar-train --help"] = [uv, "run", "--no-sync", "cifar-train", "--help"]
    rivals["cifar-train run --help"] = [installed("cifar-train"), "run", "--help"]
    rivals["cifar-space --help"] = [installed("cifar-space"), "--help"]
    return rivals


def measure(rivals: dict[str, list[str]], *, rounds: int) -> tuple[list[list[str]], dict[str, Any]]:
    """Measure the rivals; return the rows of the table and the report."""
    sides = {
        label: lambda command=command: run_process(command).wall_seconds for label, command in rivals.items()
    }
    found = {label: seconds[1:] for label, seconds in interleave(sides, rounds=rounds + 1).items()}
    rows, report = [], {}
    for label, seconds in found.items():
        relative = ratios(seconds, found[BASE])
        rows.append([f"`{label}`", str(len(seconds)), spread(seconds, 2), spread(relative, 2)])
        report[label] = {"seconds": summarize(seconds), "ratio": summarize(relative)}
    return rows, report


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="that count (default: %(default)s)")
    parser.add_argument("--only", type=lambda text: text.split(","), help="labels, among them the base")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    options = parser.parse_args()
    rivals = commands()
    if options.only:
        if unknown := {*options.only} - {*rivals}:
            parser.error(f"--only has {', '.join(sorted(unknown))}; the labels are {', '.join(rivals)}")
        rivals = {label: rivals[label] for label in dict.fromkeys([BASE, *options.only])}
    report = start_report("bench_start", ("torch", "lightning", "gradio", "cifar-train", "cifar-space"))
    rows, report["rivals"] = measure(rivals, rounds=3 if options.quick else options.rounds)
    print(headline(report) + "\n")
    print(markdown_table(["fresh process", "n", "seconds", f"x {BASE}"], rows))
    if options.out:
        write_json(options.out, report)


if __name__ == "__main__":
    main()
