"""Start-up time of commands and imports against `import lightning`, each in a fresh process.

    uv run python benchmarks/bench_start.py [--quick] [--out results.json]

The first round, which reads the files from the disk, does not count.
"""

import functools
import shutil
import sys

import harness

#: The rival that ratios are relative to.
BASE = "import lightning"


def commands() -> dict[str, list[str]]:
    """Returns the rivals' commands by their labels."""
    members = ("cifar_models", "cifar_data", "cifar_explain", "cifar_train", "cifar_space")
    codes = [BASE, *(f"import {name}" for name in ("torch", *members))]
    rivals = {"python": [sys.executable, "-c", ""]} | {code: [sys.executable, "-c", code] for code in codes}
    for line in ("cifar-train --help", "cifar-train run --help", "cifar-space --help"):
        name, *arguments = line.split()
        rivals[line] = [harness.installed(name), *arguments]
    # The command that users type, without the check whether the environment is up to date, which may change it.
    if uv := shutil.which("uv"):
        rivals["uv run --no-sync cifar-train --help"] = [uv, "run", "--no-sync", "cifar-train", "--help"]
    return rivals


def measure(rivals: dict[str, list[str]], *, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each rival in each round."""
    wall = lambda command: harness.run_process(command).costs["wall_seconds"]  # noqa: E731
    sides = {label: functools.partial(wall, command) for label, command in rivals.items()}
    return harness.interleave(sides, rounds=rounds, warmup=1)


def main() -> None:
    """Runs the benchmark and prints its table."""
    options = harness.make_parser(__doc__, rounds=7).parse_args()
    report = harness.start_report("bench_start", ("torch", "lightning", "gradio", "cifar-train"))
    found = measure(commands(), rounds=3 if options.quick else options.rounds)
    rows, report["seconds"] = harness.compare(found, BASE, digits=2)
    print(harness.headline(report) + "\n")
    print(harness.markdown_table(["fresh process", "n", "seconds", f"x {BASE}"], rows))
    harness.write_json(options.out, report)


if __name__ == "__main__":
    main()
