"""What a run ends with: figures, page, numbers and gallery, all from its weights file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cifar_data import CIFAR10DataModule
from cifar_explain import (
    Gallery,
    class_reports,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    find_errors,
    make_gallery,
    most_confused,
    top_k_accuracy,
)
from cifar_models import Weights, fold_batch_norms
from cifar_models.atomic import write_at_once
from cifar_train.report.analysis import Findings
from cifar_train.report.figures import write_figures
from cifar_train.report.human_labels import HumanAnswers
from cifar_train.report.page import render_page
from cifar_train.report.sections import calibrated_error
from cifar_train.runs.directory import RunDirectory
from cifar_train.runs.history import read_history
from cifar_train.runs.summary import Summary, write_summary


def write_report(
    run: RunDirectory, findings: Findings, datamodule: CIFAR10DataModule, *, summary: Summary
) -> Summary:
    """Write `report/`: the figures, `index.html` and `summary.json`.

    Each file appears whole or not at all; the summary comes last, so that what it says is there.

    Args:
        run: The run directory; its `metrics.csv` and `config.yaml` are shown.
        findings: What was found out about its weights.
        datamodule: The data, for the preview of the augmentation.
        summary: The run's numbers so far.

    Returns:
        The summary with the analysis, as written.
    """
    history = read_history(run.metrics) if run.metrics.exists() else None
    figures = write_figures(run.figures, findings, history=history, datamodule=datamodule)
    completed = summary.with_analysis(analyse(findings))
    page = render_page(
        findings, completed, history=history, figures=figures, config=run.config.read_text(encoding="utf-8")
    )
    write_at_once(run.page, page.encode())
    write_summary(run.summary, completed)
    return completed


def analyse(findings: Findings) -> dict[str, Any]:
    """The findings' numbers as plain types: shares in [0, 1], losses in nats, counts.

    What is undefined is None: the precision of a class that is never predicted, the recall of one without images, and
    the standard error of a single image.
    """
    test = findings.test
    classes = test.probabilities.shape[1]
    matrix = confusion_matrix(test.labels, test.predictions, classes=classes)
    return {
        "test_accuracy": test.accuracy,
        "test_accuracy_flip": findings.flip_accuracy,
        "test_top3_accuracy": top_k_accuracy(test.probabilities, test.labels, k=min(3, classes)),
        "test_loss": test.loss,
        "test_errors": len(findings.errors),
        "expected_calibration_error": expected_calibration_error(test.probabilities, test.labels),
        "expected_calibration_error_calibrated": calibrated_error(findings) if findings.familiarity else None,
        "familiarity": findings.familiarity.to_dict() if findings.familiarity else None,
        "classes": [
            {
                "name": report.name,
                "precision": _defined(report.precision),
                "recall": _defined(report.recall),
                "f1": _defined(report.f1),
            }
            for report in class_reports(matrix, class_names=test.class_names)
        ],
        "confusion_matrix": matrix.tolist(),
        "most_confused": [
            vars(pair) for pair in most_confused(matrix, count=10, class_names=test.class_names)
        ],
        "faithfulness": [
            {
                "layer": row.layer,
                "map_size": list(row.map_size),
                "method": row.method,
                "images": len(row.scores),
                "mean": row.mean,
                "standard_error": _defined(row.standard_error),
            }
            for row in findings.faithfulness
        ],
        "people": findings.human.counts if findings.human else None,
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def make_test_gallery(findings: Findings, datamodule: CIFAR10DataModule, weights: Weights) -> Gallery:
    """The gallery of the test set, tied to the weights file that the findings are of."""
    test = findings.test
    return make_gallery(
        test.probabilities,
        test.labels,
        datamodule.dataset.test.images,
        class_names=test.class_names,
        weights_sha256=weights.sha256,
        human=findings.human,
    )


def predicted_gallery(
    weights: Weights, datamodule: CIFAR10DataModule, *, people: HumanAnswers | None
) -> Gallery:
    """The gallery of the test set, predicted now."""
    test, spec = datamodule.dataset.test, weights.spec
    network = fold_batch_norms(weights.model)
    found = evaluate(network, test.images, test.labels, class_names=spec.classes, preprocess=spec.normalize)
    # The gallery keeps float32, and people are asked about its errors.
    kept = found.probabilities.astype(np.float32)
    errors = find_errors(kept, found.labels, class_names=spec.classes)
    return make_gallery(
        kept,
        found.labels,
        test.images,
        class_names=spec.classes,
        weights_sha256=weights.sha256,
        human=people.judge(errors) if people else None,
    )
