"""Where a run's numbers go: metrics.csv, kept whole over interruptions, and TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from cifar_models.atomic import write_at_once
from cifar_train.runs.directory import RunDirectory
from cifar_train.runs.history import Row, read_rows


class HistoryLogger(CSVLogger):
    """Lightning's CSV logger, writing `metrics.csv` into the directory itself and keeping earlier rows.

    Lightning's own deletes the file when a run is resumed; this one goes on below what is there.

    Args:
        directory: Where `metrics.csv` lies.
    """

    def __init__(self, directory: str | Path) -> None:
        super().__init__(save_dir=str(directory), name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What writes the file."""
        if self._experiment is None:
            self._experiment = HistoryWriter(self.log_dir)
        return self._experiment


class HistoryWriter(ExperimentWriter):
    """Lightning's writer, but without a moment in which rows of before are not in the file.

    Args:
        log_dir: Where `metrics.csv` lies.
    """

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir=log_dir)
        metrics = Path(self.metrics_file_path)
        if metrics.exists():
            self.metrics_keys, _ = read_rows(metrics)

    def _check_log_dir_exists(self) -> None:
        """Leave what is there; Lightning's own deletes it."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Add columns; Lightning's own begins with an empty file, which a kill or a full disk leaves behind."""
        metrics = Path(self.metrics_file_path)
        # Of the file as it is, until it has the new ones: after a full disk Lightning saves again, and would append
        # to columns that are not there.
        self.metrics_keys, rows = read_rows(metrics)
        _write_rows(metrics, fieldnames, rows)
        self.metrics_keys = fieldnames


def drop_later_rows(metrics: Path, *, step: int) -> None:
    """Take out of a `metrics.csv` what was logged at or after an optimizer step, and rows that were cut short.

    A run resumed from a checkpoint trains those steps again, and would log them twice.

    Args:
        metrics: The file; nothing happens if there is none.
        step: Optimizer steps that the checkpoint had made.
    """
    if metrics.exists():
        names, rows = read_rows(metrics)
        _write_rows(metrics, names, [row for row in rows if int(row["step"]) < step])


def _write_rows(metrics: Path, names: Sequence[str], rows: Iterable[Row]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, names)
    writer.writeheader()
    writer.writerows(rows)
    write_at_once(metrics, table.getvalue().encode())


def default_loggers(run: RunDirectory) -> list[Logger]:
    """The loggers of a run whose configuration names none: CSV and TensorBoard."""
    return [
        HistoryLogger(run.path),
        TensorBoardLogger(save_dir=str(run.path), name="", version="tensorboard"),
    ]
