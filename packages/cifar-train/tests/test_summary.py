"""Summary and page: numbers come back, undefined ones are null or said in words, never shown as a number."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from cifar_explain import Evaluation, Faithfulness, find_errors
from cifar_train.report.analysis import Analysis, ErrorMaps
from cifar_train.report.page import render_page
from cifar_train.runs.summary import Summary, format_metrics, format_rows, read_summary, write_summary

CLASSES = ("cat", "dog", "frog", "ship")
METRICS = {
    "val_accuracy": 0.89,
    "test_loss": 0.4,
    "test_accuracy_tta": 0.9234,
    "test_accuracy": 0.9,
    "test_accuracy_flip": 0.91,
}


@pytest.fixture
def analysis():
    """Of four images: no frog is predicted, there is no ship, and a dog is predicted as ship."""
    none = np.zeros((0, 1, 4, 4), np.float32)
    errors = find_errors(np.eye(4), np.arange(4), class_names=CLASSES)
    return Analysis(
        test=Evaluation(np.eye(4)[[0, 1, 3, 0]], [0, 1, 1, 2], class_names=CLASSES),
        flip_accuracy=0.75,
        validation=None,
        detector=None,
        human=None,
        shown=ErrorMaps(errors, np.zeros((0, 4, 4, 3), np.uint8), none, none),
        faithfulness=tuple(
            Faithfulness(method, "conv", (4, 4), np.array([0.25, 0.5])[:images])
            for method, images in (("random", 1), ("gradcam", 1))
        ),
    )


@pytest.fixture
def summary(analysis):
    return Summary(
        recipe="fast",
        architecture="whitenet",
        parameters=10,
        seed=0,
        epochs=1,
        metrics=METRICS,
        wall_seconds=None,
        train_seconds=2.0,
        images_per_second=1234.0,
        data={},
        environment={},
        command=["cifar-train"],
        analysis=analysis.to_dict(),
    )


def words(analysis, summary):
    page = render_page(analysis, summary, history=None, figures={}, config={})
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_analysis_has_none_in_place_of_undefined_numbers(analysis):
    found = analysis.to_dict()
    assert {entry.pop("name"): entry for entry in found["classes"]} == {
        "cat": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)},
        "dog": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
        "frog": {"precision": None, "recall": 0.0, "f1": 0.0},
        "ship": {"precision": 0.0, "recall": None, "f1": 0.0},
    }
    row = found["faithfulness"][1]
    assert (row["images"], row["mean"], row["standard_error"]) == (1, 0.25, None)


def test_summary_comes_back_without_metrics_that_are_not_finite(summary, tmp_path):
    path = tmp_path / "report/summary.json"
    write_summary(path, replace(summary, metrics={**METRICS, "train_loss": math.nan, "val_loss": math.inf}))
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read_summary(path) == summary
    assert [p.name for p in path.parent.iterdir()] == ["summary.json"]


def test_other_numbers_that_are_not_finite_are_rejected(summary, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_summary(tmp_path / "summary.json", replace(summary, train_seconds=math.nan))
    assert not list(tmp_path.iterdir())


def test_nan_of_earlier_versions_is_read_as_none(summary, tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, summary)
    path.write_text(path.read_text().replace('"precision": null', '"precision": NaN'))
    assert "NaN" in path.read_text()
    assert read_summary(path) == summary


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 99}', '{"format_version": 1}'])
def test_damaged_summary_is_named(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json"):
        read_summary(path)


def test_table_has_the_test_accuracies_below_each_other():
    lines = format_rows(format_metrics(METRICS)).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["test", "accuracy", "90.00", "%"],
        ["with", "TTA", "(flip)", "91.00", "%"],
        ["with", "TTA", "(flip", "and", "shift)", "92.34", "%"],
    ]
    assert len({line.index(" %") for line in lines[:3]}) == 1


def test_page_shows_the_accuracies_of_the_analysis_and_the_one_with_shifts_of_the_run(analysis, summary):
    text = words(analysis, summary)
    assert "test accuracy 50.00 % test accuracy with TTA (flip) 75.00 %" in text
    assert "test accuracy with TTA (flip and shift) 92.34 %" in text
    fewer = {name: value for name, value in METRICS.items() if not name.endswith("tta")}
    assert "TTA (flip and shift)" not in words(analysis, replace(summary, metrics=fewer))
    assert "shift" not in format_rows(format_metrics(fewer))


def test_page_names_classes_without_precision_or_recall(analysis, summary):
    text = words(analysis, summary)
    assert "Never predicted, so without a precision: frog." in text
    assert "Without test images, so without a recall: ship." in text
    test = Evaluation(np.eye(4), np.arange(4), class_names=CLASSES)
    text = words(replace(analysis, test=test), summary)
    assert "without a" not in text
    assert "0 of 4 test images are misclassified." in text


def test_page_leaves_out_an_unknown_machine(analysis, summary):
    text = words(analysis, summary)
    assert "Machine and versions" not in text
    assert "training speed 1,234 images/s" in text
    known = replace(summary, environment={"cores": 2, "versions": {"torch": "2.9"}}, wall_seconds=75.0)
    text = words(analysis, known)
    assert "1,234 images/s on 2 cores" in text
    assert "Machine and versions cores 2 torch 2.9" in text
    assert "to the test result it took 1:15 minutes." in text
    assert "None" not in text


def test_page_escapes_names_and_configuration(analysis, summary):
    test = replace(analysis.test, class_names=("<b>cat</b>", *CLASSES[1:]))
    page = render_page(
        replace(analysis, test=test),
        replace(summary, recipe="<i>"),
        history=None,
        figures={},
        config={"model": {"architecture": "<script>"}},
    )
    for tag in ("<b>cat", "<i>", "<script>"):
        assert tag not in page
