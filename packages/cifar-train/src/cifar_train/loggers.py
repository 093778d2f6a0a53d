"""Where a run's numbers go: metrics.csv, kept whole over interruptions, and TensorBoard."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from cifar_train.rundir import RunDirectory


class HistoryLogger(CSVLogger):
    """Lightning's CSV logger, writing `metrics.csv` into the directory itself and keeping earlier rows.

    Lightning's own deletes the file when a run is resumed; this one goes on below what is there.

    Args:
        directory: Where `metrics.csv` lies.
        flush_logs_every_n_steps: Logged steps between two writes, at least 1.
    """

    def __init__(self, directory: str | Path, *, flush_logs_every_n_steps: int = 100) -> None:
        super().__init__(
            save_dir=str(directory), name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Lightning's writer, with the rows of an earlier part of the run put back before its own."""
        if self._experiment is not None:
            return self._experiment
        metrics = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        aside = metrics.with_suffix(".csv.resumed")
        # Two renames rather than a copy: whenever the process dies, the rows are in one of the two files.
        if metrics.exists():
            metrics.replace(aside)
        with warnings.catch_warnings():
            # The directory is never empty: the configuration lies there already.
            warnings.filterwarnings("ignore", message="Experiment logs directory")
            writer = super().experiment
        if aside.exists():
            aside.replace(metrics)
            with metrics.open(newline="") as file:
                header = file.readline().strip()
            writer.metrics_keys = header.split(",") if header else []
        return writer


def drop_later_rows(metrics: Path, *, step: int) -> None:
    """Take out of a `metrics.csv` what was logged at or after an optimizer step.

    A run resumed from a checkpoint trains those steps again, and would log them twice.

    Args:
        metrics: The file; nothing happens if there is none.
        step: Optimizer steps that the checkpoint had made.
    """
    if not metrics.exists():
        return
    with metrics.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["step"]) < step]
        names = reader.fieldnames or []
    staged = metrics.with_suffix(f".csv-{os.getpid()}")
    with staged.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    staged.replace(metrics)


def default_loggers(run: RunDirectory) -> list[Logger]:
    """The loggers of a run whose configuration names none: CSV and TensorBoard."""
    return [
        HistoryLogger(run.path),
        TensorBoardLogger(save_dir=str(run.path), name="", version="tensorboard"),
    ]
