"""What the report says in words and numbers; each function fills the template's fields of one section."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from cifar_explain import (
    RANDOM,
    VERDICTS,
    confusion_matrix,
    expected_calibration_error,
    most_confused,
    top_k_accuracy,
)
from cifar_train.findings import SHOWN_ERRORS, Findings
from cifar_train.history import History
from cifar_train.progress import format_duration
from cifar_train.summary import Summary

# Confused pairs in the table.
_PAIRS = 8

Fields = dict[str, Any]


def describe_result(findings: Findings, summary: Summary) -> Fields:
    """The verdict, the sentence below it and the tiles."""
    test = findings.test
    count, cores = len(test.labels), summary.environment.get("cores", "?")
    lead = (
        f"{summary.architecture} with {summary.parameters:,} parameters, {_plural(summary.epochs, 'epoch')}"
    )
    if summary.wall_seconds is not None:
        lead += f", {format_duration(summary.wall_seconds)} from the start of the command to this result"
    tiles: list[tuple[str, str, str]] = [
        ("Test accuracy", percent(test.accuracy), "one view"),
        ("With flip", percent(findings.flip_accuracy), "image and mirror image"),
        (
            "Right in the first 3",
            percent(top_k_accuracy(test.probabilities, test.labels, k=min(3, _classes(findings)))),
            "",
        ),
        ("Test loss", f"{test.loss:.3f}", "nats"),
    ]
    if findings.validation is not None:
        tiles.append(
            ("Validation accuracy", percent(findings.validation.accuracy), _images(findings.validation))
        )
    if summary.images_per_second:
        tiles.append(("Training pace", f"{summary.images_per_second:,.0f}", f"images/s on {cores} cores"))
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


def describe_errors(findings: Findings) -> Fields:
    """How many errors there are, what people say, and which of them are shown."""
    errors, shown = findings.errors, findings.shown.errors
    total = len(findings.test.labels)
    text = f"{len(errors):,} of {total:,} test images are misclassified."
    calibrated = calibrated_probabilities(findings)[errors.indices]
    sure = int((calibrated.max(axis=1) >= 0.9).sum()) if len(errors) else 0
    if sure:
        how = ", once calibrated," if findings.familiarity else ""
        text += f" In {sure:,} of them the network{how} gives its wrong answer at least 90 %."
    fields: Fields = {
        "errors_text": text,
        "human_rows": [],
        "human_text": "",
        "cards_title": f"{SHOWN_ERRORS} of them" if len(shown) == SHOWN_ERRORS else "All of them",
        "cards_text": (
            "The surest errors, one for each pair of classes as long as there are pairs. Below each image, where each "
            "layer, shallow to deep, finds evidence (GradCAM): first for the class it was taken for, then for the true "
            f"class. A map is as coarse as its layer ({_sizes(findings)}) and scaled to its own range: it tells where, "
            "not how much; one that stays dark found no evidence at all. Which layers' maps to believe is shown "
            "further down. Probabilities are the network's own, before calibration."
        ),
    }
    if findings.human is not None:
        counts = findings.human.counts
        fields["human_text"] = (
            "A label is doubtful if a re-check did not confirm it or most annotators chose another class; people "
            "disagree too if fewer than 8 in 10 of them chose the label; the rest is the model's own."
        )
        fields["human_rows"] = [
            {
                "verdict": verdict,
                "count": counts[verdict],
                "percent": round(100 * counts[verdict] / max(1, len(errors))),
            }
            for verdict in VERDICTS
        ]
    return fields


def describe_error(findings: Findings, number: int) -> Fields:
    """One of the errors shown: names, probabilities, what people say."""
    errors = findings.shown.errors
    index, true, predicted = (
        int(part[number]) for part in (errors.indices, errors.labels, errors.predictions)
    )
    return {
        "index": index,
        "true": errors.class_names[true],
        "predicted": errors.class_names[predicted],
        "confidence": percent(errors.confidences[number], digits=0),
        "chance": percent(findings.test.probabilities[index, true], digits=0),
        "human": _human(findings, index),
    }


def describe_classes(findings: Findings) -> Fields:
    """The most confused pairs."""
    test = findings.test
    matrix = confusion_matrix(test.labels, test.predictions, classes=_classes(findings))
    pairs = most_confused(matrix, count=_PAIRS, class_names=test.class_names)
    return {
        "pairs": [
            {
                "true": pair.true,
                "predicted": pair.predicted,
                "count": pair.count,
                "share": percent(pair.share, digits=1),
            }
            for pair in pairs
        ]
    }


def describe_calibration(findings: Findings) -> Fields:
    """How far confidence and accuracy are apart."""
    test = findings.test
    confidence = float(test.probabilities.max(axis=1).mean())
    error = expected_calibration_error(test.probabilities, test.labels)
    side = "less" if confidence < test.accuracy else "more"
    text = (
        f"On average the network gives its answer {percent(confidence)} and is right in {percent(test.accuracy)}: it "
        f"is {side} sure than it should be. Confidence and accuracy differ by {percent(error)} on average over 15 "
        "groups of equally many images (expected calibration error)."
    )
    if (known := findings.familiarity) is not None:
        after = calibrated_error(findings)
        outcome = (
            f"the logits bring that to {percent(after)}"
            if after < error
            else f"it is {percent(after)}: no help here"
        )
        text += (
            f" Divided by the temperature {known.temperature:.2f}, fitted on {known.images:,} validation images, "
            f"{outcome}. With thresholds from the same images, {percent(known.false_alarm_rate, digits=1)} of them "
            "would be said to look like none of the classes."
        )
    return {"calibration_text": text}


def calibrated_error(findings: Findings) -> float:
    """Expected calibration error on the test set at the fitted temperature, in [0, 1]."""
    test = findings.test
    return expected_calibration_error(calibrated_probabilities(findings), test.labels)


def calibrated_probabilities(findings: Findings) -> Any:
    """The test set's probabilities at the fitted temperature; as they are where none was fitted."""
    from cifar_explain import apply_temperature

    if findings.familiarity is None:
        return findings.test.probabilities
    return apply_temperature(findings.test.probabilities, findings.familiarity.temperature)


def describe_faithfulness(findings: Findings) -> Fields:
    """Which maps to believe."""
    rows = findings.faithfulness
    count = len(rows[0].scores)
    randoms = {row.layer: row for row in rows if row.method == RANDOM}
    advantages = [(row, *row.advantage_over(randoms[row.layer])) for row in rows if row.method != RANDOM]
    better = [entry for entry in advantages if entry[1] > 2 * entry[2]]
    text = (
        f"The pixels of {count} test images were removed in the order of each map (ROAD), the least important "
        "first and the most important first; the score is half the difference of what is left of the confidence, "
        f"and chance scores 0. Beside each map stands a random one of the same coarseness. {len(better)} of "
        f"{len(advantages)} maps "
        "beat theirs by more than two standard errors"
    )
    if better:
        best = max(better, key=lambda entry: entry[1])
        text += (
            f"; the most faithful is {best[0].method} of {best[0].layer} ({best[1]:+.3f} ± {2 * best[2]:.3f})"
        )
    return {
        "faithfulness_text": f"{text}. The maps are {_sizes(findings)}; what looks smooth is interpolation."
    }


def describe_origin(summary: Summary) -> Fields:
    """Command, machine and data."""
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


def percent(share: float, *, digits: int = 2) -> str:
    """A share for people.

    >>> percent(0.9024), percent(0.5, digits=0)
    ('90.24 %', '50 %')
    """
    return f"{100 * float(share):.{digits}f} %"


def _human(findings: Findings, index: int) -> str:
    if findings.human is None:
        return ""
    position = int(np.searchsorted(findings.errors.indices, index))
    verdict = findings.human.verdicts[position]
    if findings.human.votes is None:
        return verdict
    votes = findings.human.votes[position]
    most = np.argsort(-votes, kind="stable")[:2]
    names = findings.test.class_names
    said = ", ".join(f"{names[k]} {percent(votes[k], digits=0)}" for k in most if votes[k] > 0)
    return f"people: {said} ({verdict})"


def _classes(findings: Findings) -> int:
    return findings.test.probabilities.shape[1]


def _sizes(findings: Findings) -> str:
    return ", ".join(f"{layer} {height}x{width}" for layer, (height, width) in findings.layers.items())


def _source(summary: Summary) -> str:
    source = summary.data.get("source", "unknown")
    return "drawn shapes, not CIFAR-10" if source == "synthetic" else f"images from {source}"


def _images(evaluation: Any) -> str:
    return f"{len(evaluation.labels):,} images"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
