"""What the model's page says, and that its lines of code run."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_explain import ReliabilityCurve, expected_calibration_error
from cifar_models import create_model, load_weights, save_weights
from cifar_space import USE, Calibration, Options, Report, Service, example_paths, gather_facts, read_report
from cifar_space.views.charts import class_chart, reliability_chart, reliability_legend
from cifar_space.views.model_page import model_card

HOSTILE = "</code><img src=x onerror=alert(1)>"


def test_facts_are_those_of_the_files(run_service: Service) -> None:
    facts, gallery = run_service.facts, run_service.misclassified.gallery
    assert facts.parameters == sum(p.numel() for p in run_service.weights.model.parameters())
    assert facts.sha256 == run_service.weights.sha256
    assert facts.metrics == {"test_accuracy": 0.875}
    assert facts.fingerprint == "12ab"
    right = gallery.probabilities.argmax(axis=1) == gallery.labels
    for label, report in enumerate(facts.classes_report):
        assert report.recall == pytest.approx(right[gallery.labels == label].mean())
    assert facts.calibration.plain.calibration_error == expected_calibration_error(
        gallery.probabilities, gallery.labels
    )
    assert facts.calibration.calibrated is not None
    assert facts.command == "uv run cifar-train --seed 1"
    assert facts.starting_point is None


def test_facts_are_plain_json(run_service: Service, service: Service) -> None:
    for one in (run_service, service):
        told = one.facts.to_dict()
        assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert service.facts.to_dict()["per_class"] == []
    assert len(run_service.facts.to_dict()["per_class"]) == 10


def test_the_card_says_what_there_is(run_service: Service, service: Service, parse: type[Any]) -> None:
    page = parse(model_card(run_service.facts, run_service.report))
    for told in (
        run_service.weights.sha256,
        "87.5 %",
        "12ab",
        "uv run cifar-train --seed 1",
        "25.",
        *USE.split("\n"),
    ):
        assert told in page.text
    bare = parse(model_card(service.facts)).text
    assert "Neither its command nor its recipe is known" in bare
    for title in ("Each class", "Calibration", "None of the classes"):
        assert title in page.text
        assert title not in bare


def test_figures_come_in_both_themes(run_service: Service, parse: type[Any]) -> None:
    images = [
        attributes
        for tag, attributes in parse(model_card(run_service.facts, run_service.report)).tags
        if tag == "img"
    ]
    sources = {image["class"]: Path(image["src"].removeprefix("/gradio_api/file=")) for image in images}
    assert {kind: path.name for kind, path in sources.items()} == {
        "report by-day": "curves.png",
        "report by-night": "curves-dark.png",
    }
    assert all(path.is_file() for path in sources.values())
    assert {image["loading"] for image in images} == {"lazy"}


def test_the_lines_of_code_run(run_folder: Path, run_service: Service, tmp_path: Path) -> None:
    assert len(USE.splitlines()) == 3
    (tmp_path / "model.safetensors").write_bytes((run_folder / "model.safetensors").read_bytes())
    (tmp_path / "picture.png").write_bytes(example_paths()[0].read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (answer,) = run_service.answer(example_paths()[:1], Options(explain=False))
    assert done.stdout == f"{answer.predictions[0].name}\n"


def test_a_strangers_weights_bring_no_html(tmp_path: Path, parse: type[Any]) -> None:
    save_weights(
        tmp_path / "model.safetensors",
        create_model("whitenet"),
        architecture="whitenet",
        recipe={"recipe": HOSTILE, HOSTILE: [HOSTILE]},
        metrics={HOSTILE: 1.5, "data_fingerprint": HOSTILE, "test_accuracy": 7, "val_loss": True},
    )
    weights = load_weights(tmp_path / "model.safetensors")
    spec = dataclasses.replace(weights.spec, classes=(HOSTILE, *"abcdefghi"))
    facts = gather_facts(
        dataclasses.replace(weights, spec=spec), report=Report({"command": ["x", HOSTILE]}, {})
    )
    page = parse(model_card(facts))
    assert not any(tag == "img" for tag, _ in page.tags)
    assert page.text.count(HOSTILE) >= 4
    # No command is made of a recipe's name that is more than a name.
    assert gather_facts(weights).starting_point is None
    assert "val_loss" not in facts.metrics


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fast", "uv run cifar-train --recipe fast"),
        ("a; rm -rf /", None),
        ("-x", None),
        (None, None),
        (["fast"], None),
    ],
)
def test_the_recipe_is_where_to_start(service: Service, name: object, expected: str | None) -> None:
    weights = dataclasses.replace(service.weights, recipe={"recipe": name})
    assert gather_facts(weights).starting_point == expected


def test_dots_lie_where_the_curve_does(parse: type[Any]) -> None:
    curve = ReliabilityCurve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.25, 0.0]), np.array([1, 2, 1]))
    page = parse(reliability_chart(Calibration(curve, curve)))
    dots = [
        (float(attributes["cx"]), float(attributes["cy"])) for tag, attributes in page.tags if tag == "circle"
    ]
    (ideal,) = [
        attributes for tag, attributes in page.tags if tag == "line" and attributes["class"] == "ideal"
    ]
    left, bottom, right, top = (float(ideal[name]) for name in ("x1", "y1", "x2", "y2"))
    assert dots[:3] == dots[3:]
    shares = [((x - left) / (right - left), (y - bottom) / (top - bottom)) for x, y in dots[:3]]
    assert np.allclose(shares, [(0, 1), (0.5, 0.25), (1, 0)])
    assert "off by 62.5 points" in reliability_legend(Calibration(curve, None))


def test_a_class_that_never_occurs_has_no_bar(run_service: Service) -> None:
    report = dataclasses.replace(run_service.facts.classes_report[0], recall=math.nan, precision=math.nan)
    chart = class_chart([report])
    assert "<td><small>no image of it</small></td><td><small>never predicted</small></td>" in chart
    assert "track" not in chart


def test_a_report_is_read_with_care(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curves.png").write_bytes(b"")
    (tmp_path / "figures" / "other.png").write_bytes(b"")
    (tmp_path / "summary.json").write_text('{"command": "rm -rf /"}')
    report = read_report(tmp_path)
    assert (report.command, list(report.figures)) == (None, ["curves"])
    assert report.figures["curves"].dark == report.figures["curves"].light
    (tmp_path / "summary.json").write_text(json.dumps({"command": ["/opt/bin/cifar-train", "a b; c"]}))
    assert read_report(tmp_path).command == "uv run cifar-train 'a b; c'"


def test_the_report_of_a_thousand_classes_is_read(tmp_path: Path) -> None:
    matrix = np.zeros((1000, 1000), int)
    np.fill_diagonal(matrix, 12_345)
    analysis = {"confusion_matrix": matrix.tolist(), "classes": [{"precision": None}] * 1000}
    (tmp_path / "summary.json").write_text(json.dumps({"analysis": analysis}, indent=2))
    assert read_report(tmp_path).summary["analysis"] == analysis


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no JSON"),
        (b"[1]", "must hold an object, got list"),
        (b'{"a": NaN}', "NaN is not allowed; cifar-train report"),
        (b'{"a": 1e999}', "too large"),
        (b"[" * 100_000, "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
        (b'{"a": "' + b"x" * 2**24 + b'"}', "more than"),
    ],
    ids=range(7),
)
def test_a_broken_summary_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        read_report(tmp_path)
