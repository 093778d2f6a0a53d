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
    Service,
    built_in,
    example_paths,
    load_service,
    of_run,
    of_weights,
    read_report,
)
from cifar_space.artifacts.files import built_in_examples, write_examples


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_a_run_brings_what_it_has(tmp_path: Path) -> None:
    run = make(tmp_path, "model.safetensors")
    assert of_run(run) == ServedFiles(run / "model.safetensors")
    make(run, "gallery/gallery.npz")
    assert of_run(run) == ServedFiles(run / "model.safetensors", gallery=run / "gallery")
    make(run, "report/summary.json")
    assert of_run(str(run)) == ServedFiles(run / "model.safetensors", run / "gallery", run / "report")


def test_folders_without_their_document_do_not_count(tmp_path: Path) -> None:
    run = make(tmp_path, "model.safetensors", "gallery/gallery.png", "report/figures/curves.png")
    assert of_run(run) == ServedFiles(run / "model.safetensors")


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, "report/summary.json", "gallery/gallery.npz")
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        of_run(run)


def test_built_in_files_lie_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_space.artifacts.files, "ASSETS", tmp_path)
    monkeypatch.setattr(cifar_space.artifacts.files, "DEFAULT_WEIGHTS", tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no built-in weights"):
        built_in()
    make(tmp_path, "model.safetensors", "gallery/gallery.npz", "report/summary.json")
    assert built_in() == of_run(tmp_path)


def test_weights_alone(weights_file: Path, tmp_path: Path) -> None:
    assert of_weights(str(weights_file)) == ServedFiles(weights_file)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        of_weights(tmp_path)
    assert load_service(weights_file).classes == load_service(of_weights(weights_file)).classes


def test_the_command_names_the_files() -> None:
    files = ServedFiles(Path("a b/model.safetensors"), gallery=Path("a b/gallery"))
    assert shlex.split(files.gallery_command)[-4:] == [
        "--weights", "a b/model.safetensors", "--out", "a b/gallery"
    ]  # fmt: skip
    assert "apps/space/assets/gallery" in built_in().gallery_command


def test_a_run_without_gallery_is_told_the_report(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert (
        ServedFiles(tmp_path / "model.safetensors").gallery_command == f"uv run cifar-train report {tmp_path}"
    )


def test_a_copy_outside_the_source_tree_names_no_paths_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_space.artifacts.files, "in_source_tree", lambda _: False)
    assert built_in().gallery_command is None
    assert ServedFiles(Path("a/model.safetensors")).gallery_command is not None


def test_a_report_has_its_figures_and_its_command(tmp_path: Path) -> None:
    make(tmp_path, "figures/curves.png", "figures/other.png")
    (tmp_path / "summary.json").write_text('{"command": "rm -rf /", "precision": NaN}')
    report = read_report(tmp_path)
    assert (report.command, list(report.figures)) == (None, ["curves"])
    assert report.figures["curves"].dark == report.figures["curves"].light
    (tmp_path / "summary.json").write_text(
        json.dumps({"command": ["/opt/bin/cifar-train", "--report", "false", "a b; c", "--report=false"]})
    )
    assert read_report(tmp_path).command == "uv run cifar-train 'a b; c'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"[1]", "must hold an object, got list"),
        (b"[" * 100_000, "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
    ],
    ids=range(4),
)
def test_a_broken_summary_is_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_report(tmp_path)


def test_examples_come_from_the_gallery(run_service: Service, tmp_path: Path) -> None:
    gallery = run_service.misclassified.gallery
    renamed = dataclasses.replace(gallery, class_names=("../../etc/x", *gallery.class_names[1:]))
    written = write_examples(renamed, tmp_path)
    assert [one.title for one in written] == list(renamed.examples)
    assert sorted(tmp_path.iterdir()) == sorted(one.path for one in written)
    for one, index in zip(written, renamed.examples.values(), strict=True):
        with Image.open(one.path) as image:
            assert np.array_equal(image, gallery.image(index))
        assert gallery.probabilities[index].argmax() == gallery.labels[index]


def test_built_in_examples_are_what_their_origin_says(service: Service) -> None:
    assert len(built_in_examples()) == 10
    assert {one.title for one in built_in_examples()} <= set(service.classes)
    assert "foolbox 3.3.4" in (example_paths()[0].parent / "ORIGIN.txt").read_text()
    for path in example_paths():
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")
