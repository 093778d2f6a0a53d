"""What a run logged, read back from `metrics.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, str]

#: Of each epoch, where it was logged.
EPOCH_METRICS = ("train_loss_epoch", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True, eq=False)
class Series:
    """One logged quantity over time.

    Args:
        epochs: When, in epochs since the start (fractions within an epoch), increasing, ``(n,)``.
        values: What, ``(n,)``; losses in nats, accuracies in [0, 1].
    """

    epochs: NDArray[np.float64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class History:
    """The curves of one run; a series that was not logged is empty.

    Args:
        step_loss: Training loss of single optimizer steps.
        epoch_metrics: A series at the end of each epoch, for each of :data:`EPOCH_METRICS`.
        learning_rates: By parameter group; groups that agree throughout are one.
        momenta: The same for momentum.
    """

    step_loss: Series
    epoch_metrics: Mapping[str, Series]
    learning_rates: Mapping[str, Series]
    momenta: Mapping[str, Series]

    @property
    def rows(self) -> list[dict[str, float]]:
        """One mapping for each finished epoch: `epoch` (from 1) and the metrics that were logged."""
        epochs = sorted({float(e) for series in self.epoch_metrics.values() for e in series.epochs})
        lookup = {
            name: dict(zip(series.epochs.tolist(), series.values.tolist(), strict=True))
            for name, series in self.epoch_metrics.items()
        }
        return [
            {"epoch": epoch, **{name: found[epoch] for name, found in lookup.items() if epoch in found}}
            for epoch in epochs
        ]


def read_history(path: Path) -> History:
    """Read the curves from a run's `metrics.csv`.

    Args:
        path: The file; the columns are those of Lightning's CSV logger and learning rate monitor.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table, or holds what is not a number.
    """
    columns, rows = read_rows(path)
    if not {"epoch", "step"} <= set(columns):
        raise ValueError(f"{path} has no columns 'epoch' and 'step', so it is no metrics.csv of a run")
    try:
        return _parse(columns, rows)
    except ValueError as error:
        raise ValueError(f"{path} holds what is no number: {error}") from error


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Read the columns and the whole rows of a run's `metrics.csv`.

    A row that was cut short, because the disk was full or the machine went down, is left out: each row stands for
    itself, and the others are as good as before.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        # Without its end a line may be cut within its last number: 1.2 of 1.2e-05.
        reader = csv.DictReader(line.replace("\0", "") for line in file if line.endswith("\n"))
        rows: list[Row] = [row for row in reader if _is_whole(row)]
        return list(reader.fieldnames or []), rows


def _is_whole(row: Mapping[str | None, str | None]) -> bool:
    # The reader marks missing and surplus cells by None. Rows of learning rates have no epoch.
    cut = None in row or None in row.values()
    return not cut and _is_count(row.get("step", "")) and _is_count(row.get("epoch") or "0")


def _is_count(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit()


def _parse(columns: Sequence[str], rows: Sequence[Row]) -> History:
    epoch_length = _epoch_length(rows)

    def at_steps(name: str) -> Series:
        logged = [(int(row["step"]) + 1, float(row[name])) for row in rows if row.get(name)]
        return _series([step / epoch_length for step, _ in logged], [value for _, value in logged])

    def at_epochs(name: str) -> Series:
        logged = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row.get(name)]
        return _series([epoch for epoch, _ in logged], [value for _, value in logged])

    monitored = [name for name in columns if name.startswith("lr-")]
    return History(
        step_loss=at_steps("train_loss_step"),
        epoch_metrics={name: at_epochs(name) for name in EPOCH_METRICS},
        learning_rates=_distinct(
            {name: at_steps(name) for name in monitored if not name.endswith("-momentum")}
        ),
        momenta=_distinct({name: at_steps(name) for name in monitored if name.endswith("-momentum")}),
    )


def _epoch_length(rows: Iterable[Row]) -> float:
    """Optimizer steps in an epoch, by the last row that belongs to the end of one."""
    ends = [
        (int(row["epoch"]) + 1, int(row["step"]) + 1)
        for row in rows
        if row.get("train_loss_epoch") or row.get("val_loss")
    ]
    epoch, step = max(ends, default=(1, max((int(row["step"]) + 1 for row in rows), default=1)))
    return step / epoch


def _series(epochs: Sequence[float], values: Sequence[float]) -> Series:
    return Series(np.array(epochs, np.float64), np.array(values, np.float64))


def _distinct(series: Mapping[str, Series]) -> dict[str, Series]:
    kept: dict[str, Series] = {}
    for name, one in series.items():
        if len(one) and not any(np.array_equal(one.values, other.values) for other in kept.values()):
            kept[name.removeprefix("lr-").removesuffix("-momentum")] = one
    return kept
