"""The facts about a model, and that their lines of code run."""

import dataclasses
import json
from pathlib import Path

import pytest

from cifar_explain import expected_calibration_error
from cifar_space import USE, Options, Service, example_paths, gather_facts


def test_facts_are_those_of_the_files(run_service: Service) -> None:
    facts, gallery = run_service.facts, run_service.misclassified.gallery
    assert facts.parameters == sum(p.numel() for p in run_service.weights.model.parameters())
    assert facts.weights is run_service.weights
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
    for one, classes in ((run_service, 10), (service, 0)):
        fields = one.facts.to_dict()
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields
        assert len(fields["per_class"]) == classes
        assert fields["sha256"] == one.weights.sha256


def test_the_lines_of_code_run(
    run_folder: Path,
    run_service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(USE.splitlines()) == 3
    (tmp_path / "model.safetensors").write_bytes((run_folder / "model.safetensors").read_bytes())
    (tmp_path / "image.png").write_bytes(example_paths()[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(USE, {})
    (answer,) = run_service.answer(example_paths()[:1], Options(explain=False))
    assert capsys.readouterr().out == f"{answer.predictions[0].name}\n"


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
def test_the_recipe_is_the_starting_point(service: Service, name: object, expected: str | None) -> None:
    weights = dataclasses.replace(service.weights, recipe={"recipe": name})
    assert gather_facts(weights).starting_point == expected
