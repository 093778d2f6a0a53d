"""What a run came to: `report/summary.json` and the tables at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cifar_data import CIFAR10DataModule
from cifar_models.atomic import write_at_once
from cifar_train.formatting import format_duration
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, read_checkpoint, restore_model, run_metrics
from cifar_train.runs.directory import RunDirectory

#: Version of the layout of `summary.json`; raised when a field changes its meaning or goes away.
FORMAT_VERSION = 1

# Of the longest label, "  with flip and shift".
_LABEL_WIDTH = 21


@dataclass(frozen=True)
class Summary:
    """The numbers of one run, as they lie in `summary.json`.

    Args:
        recipe: The recipe that the configuration started from.
        architecture: Name of the model.
        parameters: Number of parameters.
        seed: Seed of all that was drawn.
        epochs: Epochs trained.
        metrics: Accuracies in [0, 1] and losses in nats, by name (`test_accuracy`, `val_loss`, ...).
        wall_seconds: From the start of the command to the test result; None where that is not known, as of
            weights that were tested later.
        train_seconds: Spent in training batches, loading included; of this start only, where the run was resumed.
        images_per_second: Mean over the training batches.
        data: Kind of source, fingerprint and sizes of the data.
        environment: Machine and versions of the training; empty where they are not known.
        command: The command line.
        steps: Optimizer steps made; None in summaries of earlier versions.
        analysis: What the report found out, None in place of what is undefined; None before there is one.
        format_version: Of the layout.
    """

    recipe: str
    architecture: str
    parameters: int
    seed: int
    epochs: int
    metrics: dict[str, float]
    wall_seconds: float | None
    train_seconds: float | None
    images_per_second: float | None
    data: dict[str, Any]
    environment: dict[str, Any]
    command: list[str]
    steps: int | None = None
    analysis: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    def with_analysis(self, analysis: dict[str, Any]) -> Summary:
        """The same summary with what a report found out."""
        return replace(self, analysis=analysis)


def write_summary(path: Path, summary: Summary) -> None:
    """Write `summary` as JSON, in one step, making the directory if it is missing.

    JSON has finite numbers only. A metric without one, as a loss that overflowed, is left out.

    Raises:
        ValueError: If any other number is not finite; nothing is written then.
    """
    metrics = {
        name: value for name, value in summary.metrics.items() if value is not None and math.isfinite(value)
    }
    text = json.dumps(asdict(replace(summary, metrics=metrics)), indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, f"{text}\n".encode())


def read_summary(path: Path) -> Summary:
    """Read what :func:`write_summary` wrote.

    Earlier versions wrote `NaN`, which is no JSON, for what is undefined; it is read as None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, of another format version, or lacks a field.
    """
    try:
        fields = json.loads(path.read_text(), parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    found = fields.get("format_version") if isinstance(fields, dict) else None
    if found != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {found!r}; this version reads {FORMAT_VERSION}")
    try:
        return Summary(**fields)
    except TypeError as error:
        raise ValueError(f"{path} does not have the fields of a summary: {error}") from error


def describe_data(datamodule: CIFAR10DataModule) -> dict[str, Any]:
    """Kind of source, fingerprint and sizes of the data, as plain types."""
    dataset = datamodule.dataset
    return {
        # The kind of source only: a report travels, and the folders of the machine need not.
        "source": dataset.origin.split()[0],
        "fingerprint": dataset.fingerprint,
        "train": datamodule.train_size,
        "val": len(datamodule.val_indices),
        "test": len(dataset.test.labels),
    }


def summarize_checkpoint(run: RunDirectory, datamodule: CIFAR10DataModule) -> Summary:
    """The summary of a run that did not come to its own: trained without a test, or cut short.

    Its times are not known, and its command is the one that repeats it. Machine and versions are those noted in the
    best checkpoint; checkpoints of earlier versions note none.

    Raises:
        FileNotFoundError: If the run has no checkpoint or no configuration.
        ValueError: If the checkpoint is not one of cifar-train.
    """
    best = read_checkpoint(run.best)
    model, _ = restore_model(best)
    # How far the run came, also where the best epoch is an earlier one.
    latest = read_checkpoint(run.last) if run.last.exists() else best
    config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    return Summary(
        recipe=config["recipe"],
        architecture=config["model"]["architecture"],
        parameters=sum(p.numel() for p in model.parameters()),
        seed=config["seed_everything"],
        epochs=latest["epoch"] + 1,
        metrics={name: value for name, value in run_metrics(run).items() if isinstance(value, float)},
        wall_seconds=None,
        train_seconds=None,
        images_per_second=None,
        data=describe_data(datamodule),
        # Not of the machine that this runs on: it may be another one than the run's.
        environment=best[CHECKPOINT_KEY].get("environment", {}),
        command=["cifar-train", "--config", "config.yaml"],
        steps=latest["global_step"],
    )


def current_summary(run: RunDirectory, datamodule: CIFAR10DataModule) -> Summary:
    """The summary that a run wrote; a new one if it wrote none, or has trained on since.

    Raises:
        FileNotFoundError: If a new one is needed, and the run has no checkpoint or no configuration.
        ValueError: If what is there was not written by cifar-train.
    """
    if run.summary.exists():
        summary = read_summary(run.summary)
        # What earlier versions wrote does not tell; what has no checkpoints any more cannot have gone on.
        if summary.steps is None or not run.last.exists():
            return summary
        if read_checkpoint(run.last)["global_step"] <= summary.steps:
            return summary
    return summarize_checkpoint(run, datamodule)


def format_metrics(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Rows of a table, label and value, in reading order.

    >>> format_metrics({"test_accuracy": 0.9012, "test_loss": 0.5})
    [('test accuracy', '90.12 %'), ('test loss', '0.5000')]
    """
    labels = {
        "test_accuracy": "test accuracy",
        "test_accuracy_flip": "  with flip",
        "test_accuracy_tta": "  with flip and shift",
        "test_loss": "test loss",
        "val_accuracy": "validation accuracy",
        "val_loss": "validation loss",
    }
    return [
        (label, f"{metrics[name]:.2%}".replace("%", " %") if "accuracy" in name else f"{metrics[name]:.4f}")
        for name, label in labels.items()
        if name in metrics
    ]


def format_times(summary: Summary) -> list[tuple[str, str]]:
    """Rows of a table, label and value: the times that are known."""
    rows = []
    if summary.wall_seconds is not None:
        rows.append(("wall time", format_duration(summary.wall_seconds)))
    if summary.train_seconds is not None and summary.images_per_second is not None:
        pace = f"{summary.images_per_second:.0f} images/s"
        rows.append(("training", f"{format_duration(summary.train_seconds)}, {pace}"))
    return rows


def format_rows(rows: Iterable[tuple[str, str]]) -> str:
    """A table of labels and values, as wide as every other.

    >>> print(format_rows([("test accuracy", "90.12 %"), ("test loss", "0.5000")]))
    test accuracy          90.12 %
    test loss              0.5000
    """
    return "\n".join(f"{label:<{_LABEL_WIDTH}}  {value}" for label, value in rows)
