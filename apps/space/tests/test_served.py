import shlex
from pathlib import Path

import pytest

import cifar_space.artifacts.files
from cifar_space import ServedFiles, built_in, load_service, of_run, of_weights


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


def test_a_copy_outside_the_source_tree_names_no_paths_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_space.artifacts.files, "in_source_tree", lambda _: False)
    assert built_in().gallery_command is None
    assert ServedFiles(Path("a/model.safetensors")).gallery_command is not None
