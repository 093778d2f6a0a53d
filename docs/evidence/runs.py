"""The finished runs in docs/results: rows of the README's table, and the published results beside them."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: One run: the content of its `summary.json`.
Run = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What one row of the table of results is made of.

    Args:
        name: Of its folder in docs/results.
        about: What stands beside the name.
        note: A sentence about how the runs were measured.
        runs: Of different seeds, by seed.
    """

    name: str
    about: str
    note: str
    runs: tuple[Run, ...]

    @property
    def title(self) -> str:
        """The first cell."""
        return f"`{self.name}`, {self.about}" if self.about else f"`{self.name}`"

    def values(self, *keys: str) -> list[float] | None:
        """The number that every run has at `keys`; None if one does not have it."""
        found = [looked_up(run, *keys) for run in self.runs]
        return None if None in found else found


def looked_up(run: Run, *keys: str) -> Any:
    """Return what a run has at nested keys, None if there is none.

    >>> looked_up({"metrics": {"test_accuracy": 0.9}}, "metrics", "test_accuracy")
    0.9
    >>> looked_up({"metrics": None}, "metrics", "test_accuracy")
    """
    found: Any = run
    for key in keys:
        found = found.get(key) if found is not None else None
    return found


def read_rows(results: Path) -> list[Row]:
    """Return the rows in the order of `rows.toml`; what it does not name comes after, by name.

    Raises:
        ValueError: If `rows.toml` names a row without runs, or runs of one row do not belong together.
    """
    told = {one["name"]: one for one in _table(results)["measured"]}
    found = {path.parent.parent.name for path in results.glob("*/seed-*/summary.json")}
    if empty := [name for name in told if name not in found]:
        raise ValueError(f"rows.toml names {empty[0]!r}, but there is no {empty[0]}/seed-<n>/summary.json")
    names = [*told, *sorted(found - set(told))]
    return [
        Row(
            name=name,
            about=told.get(name, {}).get("about", ""),
            note=told.get(name, {}).get("note", ""),
            runs=_read_runs(results / name),
        )
        for name in names
    ]


def read_published(results: Path) -> list[dict[str, Any]]:
    """Return the results of others that `rows.toml` quotes."""
    return _table(results)["published"]


def _table(results: Path) -> dict[str, Any]:
    return tomllib.loads((results / "rows.toml").read_text(encoding="utf-8"))


def _read_runs(folder: Path) -> tuple[Run, ...]:
    runs = {path: json.loads(path.read_text()) for path in folder.glob("seed-*/summary.json")}
    for path, run in runs.items():
        belongs = folder.name == run["recipe"] or folder.name.startswith(f"{run['recipe']}-")
        if not belongs or path.parent.name != f"seed-{run['seed']}":
            raise ValueError(
                f"{path} is of the recipe {run['recipe']!r}, seed {run['seed']}; its place is "
                f"{run['recipe']}/seed-{run['seed']}, or {run['recipe']}-<variant>/seed-{run['seed']}"
            )
    for field in ("epochs", "parameters"):
        if len(different := {run[field] for run in runs.values()}) > 1:
            raise ValueError(
                f"the runs in {folder} have {field} {sorted(different)}; a row needs one, "
                f"so give the others a folder {folder.name}-<variant>"
            )
    return tuple(sorted(runs.values(), key=lambda run: run["seed"]))
