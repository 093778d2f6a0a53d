"""The finished runs in docs/results."""

import csv
import json
import statistics
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cifar_train.formatting import format_duration

#: One run: the content of its `summary.json`.
Run = dict[str, Any]

_PRECISIONS = {"bf16-mixed": "bfloat16", "32-true": "float32"}


class Row(NamedTuple):
    """A row of the tables: runs of one recipe, which differ in nothing but the seed."""

    name: str  # of the folder in docs/results
    about: str  # stands beside the name
    runs: list[Run]

    @property
    def title(self) -> str:
        """The first cell."""
        return f"`{self.name}`, {self.about}" if self.about else f"`{self.name}`"

    def percent(self, metric: str) -> str:
        """Mean and standard deviation; empty unless every run has the metric."""
        values = [run["metrics"].get(metric) for run in self.runs]
        return "" if None in values else percent(values)

    def time(self, field: str) -> str:
        """The median time and, of several, the shortest and the longest."""
        seconds = [run[field] for run in self.runs]
        middle, least, most = map(format_duration, (statistics.median(seconds), min(seconds), max(seconds)))
        return middle if len(seconds) == 1 else f"{middle} ({least} to {most})"


def percent(shares: Sequence[float]) -> str:
    """Return the mean of shares in [0, 1] and, of several, their sample standard deviation.

    >>> percent([0.9402]), percent([0.9398, 0.9404])
    ('94.02 %', '94.01 ± 0.04 %')
    """
    spread = f" ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.2f}{spread} %"


def read_rows(results: Path) -> list[Row]:
    """Return the rows in the order of `rows.toml`, those that it does not name last.

    Raises:
        ValueError: If `rows.toml` names a row without runs, or runs of one row do not belong together.
    """
    about = tomllib.loads((results / "rows.toml").read_text(encoding="utf-8"))["about"]
    found = sorted({path.parent.parent.name for path in results.glob("*/seed-*/summary.json")})
    if missing := [name for name in about if name not in found]:
        raise ValueError(
            f"rows.toml names {missing[0]!r}, but {results}/{missing[0]} has no seed-<n>/summary.json"
        )
    names = [*about, *(name for name in found if name not in about)]
    return [Row(name, about.get(name, ""), _read_runs(results / name)) for name in names]


def _read_runs(folder: Path) -> list[Run]:
    runs = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("seed-*/summary.json")}
    for name, run in runs.items():
        if name != f"seed-{run['seed']}" or not f"{folder.name}-".startswith(f"{run['recipe']}-"):
            raise ValueError(
                f"{folder}/{name} is of the recipe {run['recipe']!r}, seed {run['seed']}; "
                f"its place is {run['recipe']}/seed-{run['seed']} or {run['recipe']}-<variant>/seed-{run['seed']}"
            )
    if len({(run["epochs"], run["parameters"]) for run in runs.values()}) > 1:
        raise ValueError(
            f"the runs in {folder} differ in epochs or parameters; give some a folder {folder.name}-<variant>"
        )
    return sorted(runs.values(), key=lambda run: run["seed"])


def describe_machines(rows: Sequence[Row]) -> str:
    """Return machine and number format of the runs; if there are several, each with the rows measured on it."""
    rows_on: dict[str, list[str]] = {}
    for row in rows:
        for environment in [run["environment"] for run in row.runs]:
            precision = _PRECISIONS.get(environment["precision"], environment["precision"])
            machine = f"{environment['cores']} cores of an {environment['processor']} in {precision}"
            rows_on.setdefault(machine, []).append(row.name)
    if len(rows_on) == 1:
        return next(iter(rows_on))
    return "; ".join(f"{machine} ({', '.join(dict.fromkeys(names))})" for machine, names in rows_on.items())


def read_epochs(metrics: Path) -> dict[int, dict[str, float]]:
    """Return what a metrics.csv has of each epoch, counted from 1: training and validation together."""
    epochs: dict[int, dict[str, float]] = {}
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("val_accuracy") or row.get("train_accuracy"):
                logged = {name: float(value) for name, value in row.items() if value}
                epochs.setdefault(int(row["epoch"]) + 1, {}).update(logged)
    return epochs
