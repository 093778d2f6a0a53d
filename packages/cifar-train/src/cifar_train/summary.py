"""What a run came to: `report/summary.json` and the table at the end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cifar_train.progress import format_duration

#: Version of the layout of `summary.json`; raised when a field changes its meaning or goes away.
FORMAT_VERSION = 1


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
        wall_seconds: From the start of the command to the test result.
        train_seconds: Spent in training batches, loading included; of this start only, where the run was resumed.
        images_per_second: Mean over the training batches.
        data: Origin, fingerprint and sizes of the data.
        environment: Machine and versions.
        command: The command line.
        format_version: Of the layout.
    """

    recipe: str
    architecture: str
    parameters: int
    seed: int
    epochs: int
    metrics: dict[str, float]
    wall_seconds: float
    train_seconds: float
    images_per_second: float
    data: dict[str, Any]
    environment: dict[str, Any]
    command: list[str]
    format_version: int = FORMAT_VERSION


def write_summary(path: Path, summary: Summary) -> None:
    """Write `summary` as JSON, in one step, making the directory if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    staged.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    staged.replace(path)


def read_summary(path: Path) -> Summary:
    """Read what :func:`write_summary` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, of another format version, or lacks a field.
    """
    try:
        fields = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    found = fields.get("format_version") if isinstance(fields, dict) else None
    if found != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {found!r}; this version reads {FORMAT_VERSION}")
    try:
        return Summary(**fields)
    except TypeError as error:
        raise ValueError(f"{path} does not have the fields of a summary: {error}") from error


def format_metrics(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Rows of a table, label and value, in reading order.

    >>> format_metrics({"test_accuracy": 0.9012, "test_loss": 0.5})
    [('test accuracy', '90.12 %'), ('test loss', '0.5000')]
    """
    labels = {
        "test_accuracy": "test accuracy",
        "test_accuracy_flip": "  with flip",
        "test_loss": "test loss",
        "val_accuracy": "validation accuracy",
        "val_loss": "validation loss",
    }
    return [
        (label, f"{metrics[name]:.2%}".replace("%", " %") if "accuracy" in name else f"{metrics[name]:.4f}")
        for name, label in labels.items()
        if name in metrics
    ]


def format_summary(summary: Summary, places: dict[str, Path]) -> str:
    """The table that a run ends with: metrics, times, and where things are.

    Args:
        summary: The run's numbers.
        places: Paths by label, shown last.
    """
    rows = [
        *format_metrics(summary.metrics),
        ("wall time", format_duration(summary.wall_seconds)),
        ("training", f"{format_duration(summary.train_seconds)}, {summary.images_per_second:.0f} images/s"),
        *((label, str(path)) for label, path in places.items()),
    ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)
