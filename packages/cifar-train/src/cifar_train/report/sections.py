"""What the report says of a model: errors, classes, confidence, maps. Each function fills template fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cifar_explain import (
    RANDOM,
    VERDICTS,
    apply_temperature,
    class_reports,
    confusion_matrix,
    expected_calibration_error,
    most_confused,
)
from cifar_train.formatting import Fields, percent
from cifar_train.report.analysis import SHOWN_ERRORS, Findings

# Confused pairs in the table.
_PAIRS = 8


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
    """What the figure of the classes has no value for, and the most confused pairs."""
    test = findings.test
    matrix = confusion_matrix(test.labels, test.predictions, classes=test.probabilities.shape[1])
    pairs = most_confused(matrix, count=_PAIRS, class_names=test.class_names)
    reports = class_reports(matrix, class_names=test.class_names)
    undefined = {
        "Never predicted, and so without a precision": [one.name for one in reports if not one.predicted],
        "Without a test image, and so without a recall": [one.name for one in reports if not one.support],
    }
    return {
        "undefined_text": " ".join(
            f"{why}: {', '.join(names)}." for why, names in undefined.items() if names
        ),
        "pairs": [
            {
                "true": pair.true,
                "predicted": pair.predicted,
                "count": pair.count,
                "share": percent(pair.share, digits=1),
            }
            for pair in pairs
        ],
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
            else f"the logits leave it at {percent(after)}: no help here"
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


def calibrated_probabilities(findings: Findings) -> NDArray[np.float64]:
    """The test set's probabilities at the fitted temperature; as they are where none was fitted."""
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


def _sizes(findings: Findings) -> str:
    return ", ".join(f"{layer} {height}x{width}" for layer, (height, width) in findings.layers.items())
