"""What the README shows of finished runs: tables and sentences, each from docs/results and the demo's files."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cells import listed, paragraph, share, table
from runs import Row, Run

from cifar_train.formatting import format_durations

#: Where a column of shares or of times finds its numbers in a run.
_SHARES = {
    "test accuracy": ("metrics", "test_accuracy"),
    "with flip": ("metrics", "test_accuracy_flip"),
    "with flip and shift": ("metrics", "test_accuracy_tta"),
}
_TIMES = {"training": ("train_seconds",), "wall time": ("wall_seconds",)}
_LOG = {
    "training loss": "train_loss_epoch",
    "training accuracy": "train_accuracy",
    "validation loss": "val_loss",
    "validation accuracy": "val_accuracy",
}
_FORMATS = {"bf16-mixed": "bfloat16", "32-true": "float32"}
#: As seen from the README.
_FIGURES = "apps/space/src/cifar_space/assets/report/figures"


def results(rows: Sequence[Row]) -> str:
    """The table of what was measured here, the machine, and the notes of its rows."""
    header = ["", "seeds", "epochs", "parameters", *_SHARES, *_TIMES]
    lines = [
        [
            row.title,
            f"n = {len(row.runs)}",
            f"{row.runs[0]['epochs']:g}",
            f"{row.runs[0]['parameters']:,}",
            *(share(values) if (values := row.values(*keys)) else "" for keys in _SHARES.values()),
            *(format_durations(values) if (values := row.values(*keys)) else "" for keys in _TIMES.values()),
        ]
        for row in rows
    ]
    notes = paragraph(*_machines(rows), *(row.note for row in rows))
    return f"{table(header, lines)}\n\n{notes}"


def _machines(rows: Sequence[Row]) -> list[str]:
    """A sentence for each machine and number format; one is enough if all are the same."""
    named: dict[str, dict[str, None]] = {}
    for row in rows:
        for run in row.runs:
            named.setdefault(_machine(run), {})[f"`{row.name}`"] = None
    if len(named) == 1:
        return [f"All on {next(iter(named))}."]
    return [f"{listed(list(names))} on {machine}." for machine, names in named.items()]


def _machine(run: Run) -> str:
    environment = run["environment"]
    precision = environment["precision"]
    return f"{environment['cores']} cores of an {environment['processor']}, in {_FORMATS.get(precision, precision)}"


def published(entries: Sequence[dict[str, Any]]) -> str:
    """The table of results that others state, with where they state them."""
    rows = [
        [
            f"[{one['name']}]({one['url']})" if one.get("url") else one["name"],
            one["network"],
            f"{one['epochs']:g}" if "epochs" in one else "",
            one.get("machine", ""),
            f"{one['seconds']:g} s" if "seconds" in one else "",
            f"{one['accuracy']:g} %",
            one["judged_on"],
        ]
        for one in entries
    ]
    return table(["as published", "network", "epochs", "machine", "training", "accuracy", "judged on"], rows)


def shipped(summary: Run, header: Any) -> str:
    """What the demo's weights are, and what the file itself reaches."""
    analysis = summary["analysis"]
    return paragraph(
        "The demo's weights and everything below are of one run:",
        f"`{summary['recipe']}`, seed {summary['seed']}, {summary['epochs']:g} epochs.",
        f"Stored in {header.dtype} and measured again from the file: {share([analysis['test_accuracy']])},",
        f"with flip {share([analysis['test_accuracy_flip']])}.",
    )


def log(metrics: Path, summary: Run, header: Any, *, link: str) -> str:
    """The curves, the table of epochs, and what to bear in mind when reading it."""
    epochs = read_epochs(metrics)
    rows = [
        [str(epoch), *(_logged(row, name) for name in _LOG.values())] for epoch, row in sorted(epochs.items())
    ]
    curves = _picture("curves", f"Loss, accuracy, learning rate and momentum over {len(rows)} epochs")
    notes = paragraph(
        *_reading(header.recipe["model"], header.spec.size), f"Every step is in [metrics.csv]({link})."
    )
    return "\n\n".join([curves, table(["epoch", *_LOG], rows), notes])


def read_epochs(metrics: Path) -> dict[int, dict[str, float]]:
    """Return the epochs' rows of a metrics.csv, from 1, training and validation of an epoch together."""
    epochs: dict[int, dict[str, float]] = {}
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("val_accuracy") or row.get("train_accuracy"):
                kept = {name: float(row[name]) for name in _LOG.values() if row.get(name)}
                epochs.setdefault(int(row["epoch"]) + 1, {}).update(kept)
    return epochs


def _logged(row: dict[str, float], name: str) -> str:
    if name not in row:
        return ""
    return share([row[name]]) if "accuracy" in name else f"{row[name]:.4f}"


def _reading(model: dict[str, Any], size: int) -> list[str]:
    """Why training and validation are not on one scale."""
    smoothed = " against smoothed labels" if model.get("label_smoothing") else ""
    notes = [f"Training numbers are taken on augmented images{smoothed}, validation on images as they are."]
    if low := model.get("low_resolution"):
        notes.append(
            f"The first {100 * low['until']:g} % of the steps train on images of {low['size']}x{low['size']} "
            f"pixels; validation sees {size}x{size} throughout."
        )
    return notes


def errors(summary: Run) -> str:
    """The misclassified images with their maps, how far to believe maps, and the confusion matrix."""
    analysis = summary["analysis"]
    test = summary["data"]["test"]
    pair = analysis["most_confused"][0]
    return "\n\n".join(
        [
            paragraph(
                f"{analysis['test_errors']:,} of {test:,} test images are misclassified. The figure shows ten of the",
                "most confident errors, no two of them with the same true and predicted class, and the GradCAM maps of",
                "every layer for the predicted and for the true class; a map that is dark all over found no evidence.",
                _believed(analysis),
            ),
            _picture(
                "misclassified", "Ten misclassified images with maps for the predicted and for the true class"
            ),
            f"The commonest error: {pair['true']} taken for {pair['predicted']}, {pair['count']} times.",
            _picture("confusion", "Confusion matrix of the test set"),
        ]
    )


def _believed(analysis: dict[str, Any]) -> str:
    """At which layers GradCAM tells more than random maps, by two standard errors of the difference."""
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for one in analysis["faithfulness"]:
        measured.setdefault(one["layer"], {})[one["method"]] = one
    ahead = {layer: _ahead(methods["gradcam"], methods["random"]) for layer, methods in measured.items()}
    groups = {
        True: [layer for layer, better in ahead.items() if better],
        False: [layer for layer, better in ahead.items() if not better],
    }
    if not ahead:
        return ""
    count = analysis["faithfulness"][0]["images"]
    if not groups[False]:
        told = "at every layer"
    elif not groups[True]:
        told = "at no layer"
    else:
        told = f"at {listed(groups[True])}, not at {listed(groups[False])}"
    return (
        f"Whether to believe maps is measured too (ROAD, {count} images): GradCAM is ahead of random maps, by more "
        f"than two standard errors of the difference, {told}; the report compares the other methods."
    )


def _ahead(method: dict[str, Any], random: dict[str, Any]) -> bool:
    error = math.hypot(method["standard_error"], random["standard_error"])
    return method["mean"] - random["mean"] > 2 * error


def _picture(name: str, alt: str) -> str:
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{_FIGURES}/{name}-dark.png">\n'
        f'  <img src="{_FIGURES}/{name}.png" alt="{alt}" width="900">\n'
        "</picture>"
    )
