"""The facts about a model, and that their lines of code run."""

import dataclasses
import json

import pytest

from cifar_explain import expected_calibration_error
from cifar_space import USE, Options, example_paths, gather_facts


def test_facts_are_those_of_the_files(run_service):
    facts, gallery = run_service.facts, run_service.misclassified.gallery
    assert facts.parameters == sum(p.numel() for p in run_service.weights.model.parameters())
    assert (facts.metrics, facts.fingerprint) == ({"test_accuracy": 0.875}, "12ab")
    right = gallery.probabilities.argmax(axis=1) == gallery.labels
    for label, report in enumerate(facts.classes_report):
        assert report.recall == pytest.approx(right[gallery.labels == label].mean())
    error = expected_calibration_error(gallery.probabilities, gallery.labels)
    assert facts.calibration.plain.calibration_error == error
    assert facts.calibration.calibrated is not None
    assert (facts.command, facts.starting_point) == ("uv run cifar-train --seed 1", None)


def test_facts_are_plain_json(run_service, service):
    for one, classes in ((run_service, 10), (service, 0)):
        fields = one.facts.to_dict()
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields
        assert len(fields["per_class"]) == classes


def test_the_lines_of_code_run(run_folder, run_service, tmp_path, monkeypatch, capsys):
    (tmp_path / "model.safetensors").write_bytes((run_folder / "model.safetensors").read_bytes())
    (tmp_path / "image.png").write_bytes(example_paths()[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(USE, {})
    (answer,) = run_service.answer(example_paths()[:1], Options(explain=False))
    assert capsys.readouterr().out == f"{answer.predictions[0].name}\n"


@pytest.mark.parametrize("name", ["fast", "a; rm -rf /", "-x", None, ["fast"]])
def test_only_a_plain_recipe_is_the_starting_point(service, name):
    weights = dataclasses.replace(service.weights, recipe={"recipe": name})
    expected = "uv run cifar-train --recipe fast" if name == "fast" else None
    assert gather_facts(weights).starting_point == expected
