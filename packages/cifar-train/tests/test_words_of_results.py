"""How metrics are shown: by the table that a run ends with and by the tiles of its page."""

import pytest

from cifar_explain import Evaluation
from cifar_train.report.analysis import Findings
from cifar_train.report.page_run import describe_result
from cifar_train.runs.summary import Summary, format_metrics, format_rows

METRICS = {
    "val_accuracy": 0.89,
    "test_loss": 0.4,
    "test_accuracy_tta": 0.9234,
    "test_accuracy": 0.9,
    "test_accuracy_flip": 0.91,
}


@pytest.fixture
def findings():
    return Findings(
        test=Evaluation([[0.9, 0.1], [0.2, 0.8]], [0, 1]),
        flip_accuracy=0.91,
        validation=None,
        familiarity=None,
        human=None,
        shown=None,
        layers={},
        faithfulness=(),
    )


def summary(metrics):
    return Summary(
        recipe="fast",
        architecture="whitenet",
        parameters=10,
        seed=0,
        epochs=1,
        metrics=metrics,
        wall_seconds=None,
        train_seconds=None,
        images_per_second=None,
        data={},
        environment={},
        command=[],
    )


def test_the_table_has_the_test_accuracies_below_each_other():
    lines = format_rows(format_metrics(METRICS)).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["test", "accuracy", "90.00", "%"],
        ["with", "flip", "91.00", "%"],
        ["with", "flip", "and", "shift", "92.34", "%"],
    ]
    assert len({line.index(" %") for line in lines[:3]}) == 1


def test_the_page_shows_all_test_accuracies(findings):
    tiles = describe_result(findings, summary(METRICS))["tiles"]
    assert [tile[:2] for tile in tiles[:3]] == [
        ("Test accuracy", "100.00 %"),
        ("With flip", "91.00 %"),
        ("With flip and shift", "92.34 %"),
    ]


def test_a_run_that_was_not_judged_by_six_views_shows_what_it_has(findings):
    fewer = {name: value for name, value in METRICS.items() if not name.endswith("tta")}
    assert "shift" not in format_rows(format_metrics(fewer))
    assert "With flip and shift" not in dict(
        tile[:2] for tile in describe_result(findings, summary(fewer))["tiles"]
    )
