"""The files that are served: of a run, of a weights file, or built in; reports and examples."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cifar_space.artifacts.files
from cifar_space import (
    ServedFiles,
    built_in,
    example_paths,
    load_service,
    of_run,
    of_weights,
    read_report,
)
from cifar_space.artifacts.files import built_in_examples, write_examples


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_run_brings_what_it_has(tmp_path, monkeypatch):
    # Folders without their main file do not count.
    run = make(tmp_path, "gallery/gallery.png", "report/figures/curves.png")
    weights = run / "model.safetensors"
    monkeypatch.setattr(cifar_space.artifacts.files, "ASSETS", run)
    monkeypatch.setattr(cifar_space.artifacts.files, "DEFAULT_WEIGHTS", weights)
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        of_run(run)
    with pytest.raises(FileNotFoundError, match="no built-in weights"):
        built_in()
    make(run, "model.safetensors")
    assert of_run(run) == ServedFiles(weights)
    make(run, "gallery/gallery.npz")
    assert of_run(run) == ServedFiles(weights, gallery=run / "gallery")
    make(run, "report/summary.json")
    assert of_run(str(run)) == built_in() == ServedFiles(weights, run / "gallery", run / "report")


def test_weights_alone(weights_file, tmp_path):
    assert of_weights(str(weights_file)) == ServedFiles(weights_file)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        of_weights(tmp_path)
    assert load_service(weights_file).classes == load_service(of_weights(weights_file)).classes


def test_the_gallery_command_names_the_files(tmp_path, monkeypatch):
    files = ServedFiles(Path("a b/model.safetensors"), gallery=Path("a b/gallery"))
    expected = ["--weights", "a b/model.safetensors", "--out", "a b/gallery"]
    assert shlex.split(files.gallery_command)[-4:] == expected
    (tmp_path / "config.yaml").touch()
    of_a_run = ServedFiles(tmp_path / "model.safetensors")
    assert of_a_run.gallery_command == f"uv run cifar-train report {tmp_path}"
    assert "apps/space/assets/gallery" in built_in().gallery_command
    monkeypatch.setattr(cifar_space.artifacts.files, "ASSETS", tmp_path)
    assert built_in().gallery_command is None
    assert files.gallery_command is not None


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
