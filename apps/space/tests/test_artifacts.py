"""The files that are served, of a run, of a weights file, or built in; and the facts that they hold."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_explain import expected_calibration_error
from cifar_space import (
    USE,
    Options,
    ServedFiles,
    built_in,
    example_paths,
    gather_facts,
    of_run,
    of_weights,
    read_report,
)
from cifar_space.artifacts import files
from cifar_space.artifacts.files import built_in_examples, write_examples


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_run_brings_what_it_has(tmp_path, monkeypatch):
    weights = tmp_path / "model.safetensors"
    monkeypatch.setattr(files, "DEFAULT_WEIGHTS", weights)
    # Folders without their main file do not count.
    make(tmp_path, "model.safetensors", "gallery/gallery.png", "report/figures/curves.png")
    assert of_run(tmp_path) == of_weights(str(weights)) == ServedFiles(weights)
    make(tmp_path, "gallery/gallery.npz")
    assert of_run(tmp_path) == ServedFiles(weights, gallery=tmp_path / "gallery")
    make(tmp_path, "report/summary.json")
    assert (
        of_run(str(tmp_path)) == ServedFiles(weights, tmp_path / "gallery", tmp_path / "report") == built_in()
    )


def test_the_gallery_command_names_the_files(tmp_path, monkeypatch):
    own = ServedFiles(Path("a b/model.safetensors"), gallery=Path("a b/gallery"))
    expected = ["--weights", "a b/model.safetensors", "--out", "a b/gallery"]
    assert shlex.split(own.gallery_command)[-4:] == expected
    (tmp_path / "config.yaml").touch()
    of_a_run = ServedFiles(tmp_path / "model.safetensors")
    assert of_a_run.gallery_command == f"uv run cifar-train report {tmp_path}"
    assert "apps/space/assets/gallery" in built_in().gallery_command
    monkeypatch.setattr(files, "ASSETS", tmp_path)
    assert built_in().gallery_command is None
    assert own.gallery_command is not None


def test_a_report_has_its_figures_and_its_command(tmp_path):
    make(tmp_path, "figures/curves.png", "figures/other.png")
    (tmp_path / "summary.json").write_text('{"command": "rm -rf /", "precision": NaN}')
    report = read_report(tmp_path)
    assert (report.command, list(report.figures)) == (None, ["curves"])
    assert report.figures["curves"].dark == report.figures["curves"].light
    command = ["/opt/bin/cifar-train", "--report", "false", "a b; c", "--report=false"]
    (tmp_path / "summary.json").write_text(json.dumps({"command": command}))
    assert read_report(tmp_path).command == "uv run cifar-train 'a b; c'"


@pytest.mark.parametrize("content", [b"", b"[1]", b"[" * 100_000, b"\xff\xfe{"], ids=range(4))
def test_a_broken_summary_is_rejected(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"summary\.json (is no JSON|must hold an object, got list)"):
        read_report(tmp_path)


def test_examples_come_from_the_gallery(run_service, tmp_path):
    gallery = run_service.misclassified.gallery
    renamed = dataclasses.replace(gallery, class_names=("../../etc/x", *gallery.class_names[1:]))
    written = write_examples(renamed, tmp_path)
    assert [one.title for one in written] == list(renamed.examples)
    assert sorted(tmp_path.iterdir()) == sorted(one.path for one in written)
    for one, index in zip(written, renamed.examples.values(), strict=True):
        with Image.open(one.path) as image:
            assert np.array_equal(image, gallery.image(index))


def test_built_in_examples_are_what_their_origin_says(service):
    assert len(built_in_examples()) == 10
    assert {one.title for one in built_in_examples()} <= set(service.classes)
    assert "foolbox 3.3.4" in (example_paths()[0].parent / "ORIGIN.txt").read_text()
    for path in example_paths():
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")


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
    fields = facts.to_dict()
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert len(fields["per_class"]) == 10


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
