"""The values that a run logs: `metrics.csv`, written row by row and read back as curves."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from cifar_models.atomic import write_at_once

Row = Mapping[str, str]

#: One logged quantity ``(n, 2)``: increasing epochs, with fractions within an epoch, and the values there.
Series = NDArray[np.float64]

#: Metrics logged at the end of an epoch.
EPOCH_METRICS = ("train_loss_epoch", "train_accuracy", "val_loss", "val_accuracy")


class HistoryLogger(Logger):
    """Appends each row to the file at `path` as it is logged; a resumed run appends to the rows of before.

    Lightning's CSVLogger deletes the file when a run is resumed, and empties it before it writes a new column.
    """

    name = ""
    version = ""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends a row; a new column is added in one step that no kill or full disk can split."""
        row = {**metrics, "step": step}
        if not row.keys() <= set(self._columns):
            columns, rows = read_rows(self.path) if self.path.exists() else ([], [])
            if not row.keys() <= set(columns):
                columns = sorted({*columns, *row})
                _write_rows(self.path, columns, rows)
            self._columns = columns
        line = io.StringIO(newline="")
        csv.DictWriter(line, self._columns).writerow(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(line.getvalue())


def drop_later_rows(path: Path, *, step: int, epoch: int) -> None:
    """Removes incomplete rows and those that a resumed run logs again: from ``step`` on, and ends of ``epoch`` on."""

    def is_logged_again(row: Row) -> bool:
        ends_epoch = any(row.get(name) for name in EPOCH_METRICS)
        return int(row["step"]) >= step or (ends_epoch and int(row.get("epoch") or -1) >= epoch)

    if path.exists():
        columns, rows = read_rows(path)
        _write_rows(path, columns, [row for row in rows if not is_logged_again(row)])


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_at_once(path, table.getvalue().encode())


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Reads columns and rows of a `metrics.csv`, without rows that a full disk or a crash cut short."""

    def is_whole(row: Mapping[str | None, str | None]) -> bool:
        # The reader marks missing and surplus cells by None. Rows of learning rates have no epoch.
        counts = row.get("step") or "", row.get("epoch") or "0"
        whole = None not in row and None not in row.values()
        return whole and all(count.isascii() and count.isdigit() for count in counts)

    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        # A last line without its end may be cut within a number: 1.2 of 1.2e-05.
        reader = csv.DictReader(line.replace("\0", "") for line in file if line.endswith("\n"))
        rows: list[Row] = [row for row in reader if is_whole(row)]
        return list(reader.fieldnames or []), rows


@dataclass(frozen=True, eq=False)
class History:
    """The curves of one run; a series that was not logged is empty. Losses in nats, accuracies in [0, 1].

    Learning rates and momenta are by parameter group; multiples of an earlier one are left out.
    """

    step_loss: Series
    epoch_metrics: Mapping[str, Series]
    learning_rates: Mapping[str, Series]
    momenta: Mapping[str, Series]

    @property
    def rows(self) -> list[dict[str, float]]:
        """One mapping for each finished epoch: `epoch` (from 1) and the logged metrics."""
        found: dict[float, dict[str, float]] = {}
        for name, series in self.epoch_metrics.items():
            for epoch, value in series.tolist():
                found.setdefault(epoch, {"epoch": epoch})[name] = value
        return [found[epoch] for epoch in sorted(found)]


def read_history(path: Path) -> History:
    """Reads the curves from a run's `metrics.csv`."""
    columns, rows = read_rows(path)
    if not {"epoch", "step"} <= set(columns):
        raise ValueError(f"{path} has no columns 'epoch' and 'step', so it is no metrics.csv of a run")

    def series(name: str, counter: str, unit: float = 1) -> Series:
        logged = [((int(row[counter]) + 1) / unit, float(row[name])) for row in rows if row.get(name)]
        return np.array(logged, np.float64).reshape(-1, 2)

    try:
        # Optimizer steps in an epoch, by the last row that belongs to the end of one.
        ends = [row for row in rows if row.get("train_loss_epoch") or row.get("val_loss")]
        last = max((int(row["step"]) + 1 for row in rows), default=1)
        epoch, step = max(((int(row["epoch"]) + 1, int(row["step"]) + 1) for row in ends), default=(1, last))
        epoch_length = step / epoch
        rates: dict[bool, dict[str, Series]] = {False: {}, True: {}}
        for name in columns:
            if name.startswith("lr-"):
                of_momentum = name.endswith("-momentum")
                one, kept = series(name, "step", epoch_length), rates[of_momentum]
                if len(one) and not any(_proportional(one[:, 1], other[:, 1]) for other in kept.values()):
                    kept[name.removeprefix("lr-").removesuffix("-momentum")] = one
        return History(
            step_loss=series("train_loss_step", "step", epoch_length),
            epoch_metrics={name: series(name, "epoch") for name in EPOCH_METRICS},
            learning_rates=rates[False],
            momenta=rates[True],
        )
    except ValueError as error:
        raise ValueError(f"{path} holds a value that is not a number: {error}") from error


def _proportional(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return len(one) == len(other) and np.allclose(one * other.max(), other * one.max(), atol=0)
