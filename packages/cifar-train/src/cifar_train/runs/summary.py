"""The run summary: `report/summary.json`, and the tables printed at the end of a run."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cifar_data import CIFAR10DataModule
from cifar_models import read_header
from cifar_models.atomic import write_at_once
from cifar_models.weights.card import TEST_ACCURACIES
from cifar_train.formatting import percent
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, read_checkpoint, restore_model
from cifar_train.runs.directory import RunDirectory

#: Version of the layout of `summary.json`; raised when a field changes its meaning or is removed.
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of one run, as in `summary.json`; docs/FORMATS.md describes the fields.

    Accuracies are in [0, 1], losses in nats; what is not known is None, or empty.
    """

    recipe: str
    architecture: str
    parameters: int
    seed: int
    epochs: int
    metrics: dict[str, float]
    #: From the start of the command to the test result.
    wall_seconds: float | None = None
    #: Spent in training batches, loading included, since the last start.
    train_seconds: float | None = None
    images_per_second: float | None = None
    data: dict[str, Any]
    environment: dict[str, Any]
    command: list[str]
    #: None in summaries of earlier versions.
    steps: int | None = None
    #: None before there is a report.
    analysis: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION


def write_summary(path: Path, summary: Summary) -> None:
    """Writes a summary in one step; metrics that are not finite are left out, since JSON cannot hold them."""
    metrics = {name: value for name, value in summary.metrics.items() if math.isfinite(value)}
    text = json.dumps(asdict(replace(summary, metrics=metrics)), indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, f"{text}\n".encode())


def read_summary(path: Path) -> Summary:
    """Reads a `summary.json`; `NaN`, which earlier versions wrote for undefined numbers, is read as None."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
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
    """Returns kind of source, fingerprint and sizes of the data as plain types, without folder names."""
    dataset = datamodule.dataset
    return {
        "source": dataset.origin.split()[0],
        "fingerprint": dataset.fingerprint,
        "train": datamodule.train_size,
        "val": len(datamodule.val_indices),
        "test": len(dataset.test.labels),
    }


def current_summary(run: RunDirectory, datamodule: CIFAR10DataModule) -> Summary:
    """Returns the summary that a run wrote, or one of its checkpoints if it wrote none or was trained since."""
    last = read_checkpoint(run.last) if run.last.exists() else None
    if run.summary.exists():
        summary = read_summary(run.summary)
        # Summaries of earlier versions have no steps; a run without checkpoints cannot have been resumed.
        if summary.steps is None or last is None or last["global_step"] <= summary.steps:
            return summary
    best = read_checkpoint(run.trained)  # of an earlier epoch, perhaps
    last = last or best
    config = run.read_config()
    metrics = read_header(run.weights).metrics if run.weights.exists() else {}
    return Summary(
        recipe=config["recipe"],
        architecture=config["model"]["architecture"],
        parameters=sum(p.numel() for p in restore_model(best)[0].parameters()),
        seed=config["seed_everything"],
        epochs=last["epoch"] + 1,
        metrics={name: value for name, value in metrics.items() if isinstance(value, float)},
        data=describe_data(datamodule),
        # This process may run on another machine. Checkpoints of earlier versions do not name theirs.
        environment=best[CHECKPOINT_KEY].get("environment", {}),
        command=["cifar-train", "--config", "config.yaml"],
        steps=last["global_step"],
    )


def format_metrics(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Returns rows of a table, label and value, in reading order.

    >>> format_metrics({"test_accuracy": 0.9012, "test_loss": 0.5})
    [('test accuracy', '90.12 %'), ('test loss', '0.5000')]
    """
    labels = {
        **{name: label.replace("test accuracy with", "  with") for name, label in TEST_ACCURACIES.items()},
        "test_loss": "test loss",
        "val_accuracy": "validation accuracy",
        "val_loss": "validation loss",
    }
    return [
        (label, percent(metrics[name]) if "accuracy" in name else f"{metrics[name]:.4f}")
        for name, label in labels.items()
        if name in metrics
    ]


def format_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Returns a table of labels and values, as wide as every other."""
    return "\n".join(f"{label:<27}  {value}" for label, value in rows)
