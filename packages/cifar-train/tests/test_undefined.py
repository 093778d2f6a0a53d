"""What is undefined is null in the summary and is said plainly wherever it is shown, never as a number."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from cifar_explain import Evaluation, Faithfulness
from cifar_models import CIFAR10, WeightsHeader
from cifar_train import model_card
from cifar_train.report.analysis import Findings
from cifar_train.report.page_run import describe_origin, describe_result
from cifar_train.report.report import analyse
from cifar_train.report.sections import describe_classes
from cifar_train.runs.summary import Summary, read_summary, write_summary

CLASSES = ("cat", "dog", "frog", "ship")


@pytest.fixture
def findings():
    """Of three images: no frog is predicted, no ship is there, and one of the dogs is taken for a ship."""
    return Findings(
        test=Evaluation(np.eye(4)[[0, 1, 3, 0]], [0, 1, 1, 2], class_names=CLASSES),
        flip_accuracy=0.5,
        validation=None,
        familiarity=None,
        human=None,
        shown=None,
        layers={"conv": (4, 4)},
        faithfulness=(Faithfulness("gradcam", "conv", (4, 4), np.array([0.25])),),
    )


@pytest.fixture
def summary(findings):
    return Summary(
        recipe="fast",
        architecture="whitenet",
        parameters=10,
        seed=0,
        epochs=1,
        metrics={"test_accuracy": 0.5},
        wall_seconds=None,
        train_seconds=2.0,
        images_per_second=1234.0,
        data={},
        environment={},
        command=["cifar-train"],
        analysis=analyse(findings),
    )


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def card(summary):
    spec = replace(CIFAR10, classes=CLASSES)
    return model_card(WeightsHeader("whitenet", {}, spec, {}, {}, "float32", 1), summary)


def test_the_analysis_has_none_in_place_of_it(findings):
    analysis = analyse(findings)
    assert {entry.pop("name"): entry for entry in analysis["classes"]} == {
        "cat": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)},
        "dog": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
        "frog": {"precision": None, "recall": 0.0, "f1": 0.0},
        "ship": {"precision": 0.0, "recall": None, "f1": 0.0},
    }
    (row,) = analysis["faithfulness"]
    assert (row["images"], row["mean"], row["standard_error"]) == (1, 0.25, None)


def test_a_summary_is_json_and_comes_back(summary, tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, summary)
    json.loads(path.read_text(), parse_constant=refuse)
    assert read_summary(path) == summary


def test_a_metric_that_is_no_number_is_left_out(summary, tmp_path):
    metrics = {"test_accuracy": 0.1, "test_loss": math.nan, "val_loss": math.inf}
    write_summary(tmp_path / "summary.json", replace(summary, metrics=metrics))
    assert read_summary(tmp_path / "summary.json").metrics == {"test_accuracy": 0.1}


def test_anything_else_that_is_no_number_is_not_written(summary, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_summary(tmp_path / "summary.json", replace(summary, train_seconds=math.nan))
    assert not list(tmp_path.iterdir())


def test_the_summary_of_an_earlier_version_is_read(summary, tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, summary)
    text = path.read_text()
    path.write_text(text.replace('"precision": null', '"precision": NaN'))
    assert path.read_text() != text
    assert read_summary(path) == summary


def test_the_card_says_why_there_is_no_number(summary):
    text = card(summary)
    assert "| frog | 0.00 % | never predicted |" in text
    assert "| ship | no test image | 0.00 % |" in text
    assert "Class with the lowest recall: frog, 0.00 %." in text
    assert "nan" not in text


def test_the_page_says_why_there_is_no_number(findings):
    assert describe_classes(findings)["undefined_text"] == (
        "Never predicted, and so without a precision: frog. Without a test image, and so without a recall: ship."
    )
    test = Evaluation(np.eye(4), np.arange(4), class_names=CLASSES)
    assert not describe_classes(replace(findings, test=test))["undefined_text"]


def test_a_machine_that_is_not_known_is_left_out(findings, summary):
    assert not describe_origin(summary)["environment"]
    tiles = {name: (value, note) for name, value, note in describe_result(findings, summary)["tiles"]}
    assert tiles["Training pace"] == ("1,234", "images/s")
    known = replace(summary, environment={"cores": 2})
    assert ("Training pace", "1,234", "images/s on 2 cores") in describe_result(findings, known)["tiles"]
