"""What the report says of a run: its result, its log, where it comes from. Each function fills template fields."""

from __future__ import annotations

import shlex

from cifar_explain import top_k_accuracy
from cifar_train.formatting import Fields, count_noun, format_duration, percent
from cifar_train.report.analysis import Findings
from cifar_train.runs.history import History
from cifar_train.runs.summary import Summary


def describe_result(findings: Findings, summary: Summary) -> Fields:
    """The verdict, the sentence below it and the tiles."""
    test = findings.test
    count, cores = len(test.labels), summary.environment.get("cores")
    lead = f"{summary.architecture} with {summary.parameters:,} parameters, {count_noun(summary.epochs, 'epoch')}"
    if summary.wall_seconds is not None:
        lead += f", {format_duration(summary.wall_seconds)} from the start of the command to this result"
    tiles: list[tuple[str, str, str]] = [
        ("Test accuracy", percent(test.accuracy), "one view"),
        ("With flip", percent(findings.flip_accuracy), "image and mirror image"),
        *_six_views(summary),
        (
            "Right in the first 3",
            percent(top_k_accuracy(test.probabilities, test.labels, k=min(3, test.probabilities.shape[1]))),
            "",
        ),
        ("Test loss", f"{test.loss:.3f}", "nats"),
    ]
    if findings.validation is not None:
        tiles.append(
            (
                "Validation accuracy",
                percent(findings.validation.accuracy),
                f"{len(findings.validation.labels):,} images",
            )
        )
    if summary.images_per_second:
        where = f" on {count_noun(cores, 'core')}" if cores else ""
        tiles.append(("Training pace", f"{summary.images_per_second:,.0f}", f"images/s{where}"))
    return {
        "title": f"{summary.recipe}: {percent(test.accuracy)}",
        "eyebrow": f"recipe {summary.recipe} · seed {summary.seed} · {_source(summary)}",
        "verdict": f"{percent(test.accuracy)} of {count:,} test images are classified right.",
        "lead": f"{lead}.",
        "tiles": tiles,
    }


def describe_training(history: History | None) -> Fields:
    """The log of the epochs."""
    names = {
        "epoch": ("epoch", lambda value: f"{value:g}"),
        "train_loss_epoch": ("training loss", "{:.4f}".format),
        "train_accuracy": ("training accuracy", percent),
        "val_loss": ("validation loss", "{:.4f}".format),
        "val_accuracy": ("validation accuracy", percent),
    }
    rows = history.rows if history else []
    logged = [name for name in names if any(name in row for row in rows)]
    return {
        "log_heads": [names[name][0] for name in logged],
        "log_rows": [[names[name][1](row[name]) if name in row else "" for name in logged] for row in rows],
        "training_text": (
            "Training loss and accuracy are means over an epoch in which the network still changes, on augmented "
            "images and, where the recipe smooths labels, against smoothed labels. Those of the validation split "
            "are taken after the epoch, on plain images, so the two losses are not on one scale."
        ),
    }


def describe_origin(summary: Summary) -> Fields:
    """Command, data, and machine as far as it is known."""
    environment = {key: value for key, value in summary.environment.items() if key != "versions"}
    versions = summary.environment.get("versions", {})
    return {
        "command": shlex.join(summary.command),
        "reproduce_text": (
            f"Seed {summary.seed} decides on first weights, order and augmentation. Another machine or another number "
            "of threads adds in another order, so a repeated run agrees in the spread of seeds, not to the bit."
        ),
        "environment": [*environment.items(), *versions.items()],
        "data": [*summary.data.items()],
    }


def _six_views(summary: Summary) -> list[tuple[str, str, str]]:
    # Read from the run's test, not measured again for the page; runs of earlier versions lack it.
    accuracy = summary.metrics.get("test_accuracy_tta")
    return [] if accuracy is None else [("With flip and shift", percent(accuracy), "six views")]


def _source(summary: Summary) -> str:
    source = summary.data.get("source", "unknown")
    return "drawn shapes, not CIFAR-10" if source == "synthetic" else f"images from {source}"
