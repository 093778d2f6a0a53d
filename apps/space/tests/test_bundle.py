import ast
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import cifar_space.publish.bundle
from cifar_explain import make_gallery, read_gallery, write_gallery
from cifar_models import load_weights
from cifar_space import ServedFiles, of_run, of_weights
from cifar_space.publish.bundle import build_bundle
from cifar_space.publish.bundle_manifest import MANIFEST_NAME, check_bundle, foreign_files
from cifar_space.publish.bundle_requirements import TORCH, direct_requirements, requirements_text
from cifar_space.publish.bundle_texts import app_text, readme_text

MEMBER = Path(__file__).parents[1]
ASSETS = "cifar_space/assets"


@pytest.fixture
def run(weights_file: Path, tmp_path: Path) -> Path:
    """A run directory: weights, their gallery, and a report that tells where it was made."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(weights_file, folder / "model.safetensors")
    weights = load_weights(weights_file)
    rows = np.full((4, 10), 0.05)
    rows[:, 3] = 0.55
    gallery = make_gallery(
        rows,
        np.array([3, 3, 5, 1]),
        np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        class_names=weights.spec.classes,
        weights_sha256=weights.sha256,
    )
    write_gallery(gallery, folder / "gallery")
    (folder / "report" / "figures").mkdir(parents=True)
    (folder / "report" / "figures" / "curves.png").write_bytes(b"picture")
    summary = {
        "data": {"origin": "parquet /home/jane doe/cifar10", "fingerprint": "ab/cd"},
        "command": ["cifar-train", "--data.root=/home/jane/cifar10", "C:\\Users\\jane\\x", "~/y", "a / b"],
        "epochs": 7,
    }
    (folder / "report" / "summary.json").write_text(json.dumps(summary))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"not for the Space")
    return folder


def test_a_summary_that_the_space_would_refuse_at_its_start_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "report" / "summary.json").write_text('{"analysis": {"classes": [{"precision": NaN}]}}')
    with pytest.raises(ValueError, match=r"summary\.json is no JSON: NaN is not allowed"):
        build_bundle(of_run(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_holds_what_the_space_needs_and_no_more(run: Path, tmp_path: Path) -> None:
    manifest = build_bundle(of_run(run), tmp_path / "out")
    found = contents(tmp_path / "out")
    assert set(found) == {*manifest.files, MANIFEST_NAME}
    assert check_bundle(tmp_path / "out") == manifest
    assert {name.split("/")[0] for name in found} - {"cifar_models", "cifar_explain", "cifar_space"} == {
        "README.md",
        "app.py",
        "manifest.json",
        "requirements.txt",
        *(name for name in found if name.endswith(".png") and "/" not in name),
    }
    # Every byte that is served is the run's own.
    for name in (
        "model.safetensors",
        "gallery/gallery.npz",
        "gallery/gallery.png",
        "report/figures/curves.png",
    ):
        assert found[f"{ASSETS}/{name}"] == (run / name).read_bytes()
    assert len([name for name in found if name.startswith(f"{ASSETS}/examples/")]) == 11
    for package in ("cifar_models", "cifar_explain", "cifar_space"):
        assert found[f"{package}/LICENSE"].startswith(b"MIT License")
        assert f"{package}/__init__.py" in found
    kinds = {Path(name).suffix for name in found}
    assert kinds <= {
        "",
        ".py",
        ".typed",
        ".md",
        ".txt",
        ".json",
        ".npz",
        ".png",
        ".safetensors",
        ".css",
        ".js",
    }


def test_imports_nothing_that_trains(run: Path, tmp_path: Path) -> None:
    build_bundle(of_run(run), tmp_path / "out")
    imported = set()
    for path in (tmp_path / "out").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert not imported & {"lightning", "albumentations", "cifar_train", "cifar_data", "torchvision"}
    # What is imported is pinned. Gradio brings its own huggingface_hub, and grad-cam is named otherwise.
    outside = imported - set(sys.stdlib_module_names) - {"cifar_models", "cifar_explain", "cifar_space"}
    pinned = set(direct_requirements())
    names = {"PIL": "pillow", "pytorch_grad_cam": "grad-cam", "huggingface_hub": "gradio"}
    assert {names.get(name, name) for name in outside} <= pinned


def test_the_same_files_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    build_bundle(of_run(run), tmp_path / "one")
    moved = run.rename(tmp_path / "elsewhere")
    build_bundle(of_run(moved), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_tells_nothing_of_the_machine(run: Path, tmp_path: Path) -> None:
    build_bundle(of_run(run), tmp_path / "out")
    summary = json.loads((tmp_path / "out" / ASSETS / "report" / "summary.json").read_text())
    assert summary["data"] == {"origin": "parquet cifar10", "fingerprint": "ab/cd"}
    assert summary["command"] == ["cifar-train", "--data.root=cifar10", "x", "y", "a / b"]
    assert summary["epochs"] == 7
    here = {str(MEMBER), str(tmp_path), str(Path.home()), sys.prefix}
    for name, content in contents(tmp_path / "out").items():
        assert [place for place in here if os.fsencode(place) in content] == [], name


def test_a_gallery_of_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    gallery = dataclasses.replace(read_gallery(run / "gallery"), weights_sha256="0" * 64)
    write_gallery(gallery, run / "gallery")
    with pytest.raises(ValueError, match="gallery of another model"):
        build_bundle(of_run(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_dtype_leaves_the_gallery_out(run: Path, tmp_path: Path) -> None:
    manifest = build_bundle(of_run(run), tmp_path / "half", dtype="float16")
    weights = load_weights(tmp_path / "half" / ASSETS / "model.safetensors")
    assert weights.dtype == "float16"
    assert weights.metrics == load_weights(run / "model.safetensors").metrics
    assert not any("gallery.npz" in name for name in manifest.files)
    assert weights.sha256 in (tmp_path / "half" / "README.md").read_text()
    # Stored so already: then nothing changes, and the gallery stays.
    assert f"{ASSETS}/gallery/gallery.npz" in build_bundle(of_run(run), tmp_path / "b", dtype="float32").files


def test_weights_alone_bring_no_gallery_of_others(weights_file: Path, tmp_path: Path) -> None:
    manifest = build_bundle(of_weights(weights_file), tmp_path)
    assert [name for name in manifest.files if "/gallery/" in name or "/report/" in name] == []


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"weights": Path("no.safetensors")}, FileNotFoundError, "no.safetensors"),
        ({"report": Path("no")}, FileNotFoundError, "summary.json"),
    ],
)
def test_missing_files(
    run: Path, tmp_path: Path, changes: dict[str, Path], error: type[Exception], told: str
) -> None:
    files: ServedFiles = dataclasses.replace(of_run(run), **changes)
    with pytest.raises(error, match=told):
        build_bundle(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [({"torch": "cuda"}, "torch must be one of"), ({"dtype": "int8"}, "dtype must be one of")],
)
def test_unknown_options(run: Path, tmp_path: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build_bundle(of_run(run), tmp_path / "out", **options)


def test_replaces_its_own_bundle_only(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_bundle(of_run(run), out)
    (out / "cifar_space" / "__pycache__").mkdir()
    (out / "cifar_space" / "__pycache__" / "cli.pyc").write_bytes(b"from running it")
    build_bundle(of_run(run), out, torch="zerogpu")
    assert check_bundle(out).torch == "zerogpu"
    assert not (out / "cifar_space" / "__pycache__").exists()
    for name, told in [
        ("notes.txt", "notes.txt"),
        (".git/config", ".git/config"),
        ("README.md", "was changed"),
    ]:
        path = out / name
        before = path.read_bytes() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(FileExistsError, match=re.escape(told)):
            build_bundle(of_run(run), out)
        assert path.read_text() == "mine"
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        build_bundle(of_run(run), tmp_path / "file")


def test_an_interrupted_build_leaves_the_old_bundle(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "out"
    build_bundle(of_run(run), out)
    before = contents(out)

    def interrupt(folder: Path) -> None:
        if folder != out:
            raise KeyboardInterrupt
        check_bundle(folder)

    monkeypatch.setattr(cifar_space.publish.bundle, "foreign_files", lambda *_: [])
    monkeypatch.setattr(cifar_space.publish.bundle, "check_bundle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_bundle(of_run(run), out, torch="any")
    assert contents(out) == before
    assert list(out.parent.iterdir()) == [out]


def test_a_failed_exchange_brings_the_old_bundle_back(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "out"
    build_bundle(of_run(run), out)
    before = contents(out)
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if target == out and not path.name.endswith("-before"):
            raise OSError("no space left")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        build_bundle(of_run(run), out, torch="any")
    assert contents(out) == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("torch", TORCH)
def test_requirements_are_exact(torch: str) -> None:
    lines = [line for line in requirements_text(torch).splitlines() if not line.startswith("#")]
    index = [line for line in lines if line.startswith("-")]
    assert index == (["--extra-index-url https://download.pytorch.org/whl/cpu"] if torch == "cpu" else [])
    pins = dict(line.split("==") for line in lines if "==" in line)
    assert set(lines) - set(index) - {f"{name}=={pinned}" for name, pinned in pins.items()} == (
        {"spaces"} if torch == "zerogpu" else set()
    )
    for name, pinned in pins.items():
        if torch == "zerogpu" and name in ("torch", "torchvision"):
            continue
        suffix = "+cpu" if torch == "cpu" and name in ("torch", "torchvision") else ""
        assert pinned == importlib.metadata.version(name).partition("+")[0] + suffix
    assert {"torch", "torchvision", "gradio", "grad-cam", "safetensors"} <= set(pins)


def test_zerogpu_gets_a_torch_that_it_lists() -> None:
    found = re.search(r"^torch==2\.(\d+)\.", requirements_text("zerogpu"), re.MULTILINE)
    # Source: the Hub's documentation of ZeroGPU, 2026-08.
    assert found is not None
    assert 8 <= int(found[1]) <= 11


def test_the_app_of_the_sources_is_that_of_the_bundle() -> None:
    assert (MEMBER / "app.py").read_text() == app_text("cpu") == app_text("any")
    tree = ast.parse(app_text("zerogpu"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [ast.unparse(one) for one in function.decorator_list] == ["spaces.GPU"]
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports.index("import spaces") < imports.index("from cifar_space.cli import main")


@pytest.mark.parametrize("torch", TORCH)
def test_front_matter(run: Path, tmp_path: Path, torch: str) -> None:
    out = tmp_path / "out"
    build_bundle(of_run(run), out, torch=torch)
    text = (out / "README.md").read_text()
    _, matter, body = text.split("---\n", 2)
    lines = matter.splitlines()
    fields = dict(line.split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    assert fields["sdk"] == "gradio"
    assert fields["sdk_version"] == importlib.metadata.version("gradio")
    assert fields["python_version"] == ('"3.12.12"' if torch == "zerogpu" else '"3.12"')
    assert (out / fields["app_file"]).is_file()
    assert fields.get("suggested_hardware") == ("zero-a10g" if torch == "zerogpu" else None)
    assert "87.50 % of the test images" in body
    for image in re.findall(r"!\[[^\]]*\]\(([^)\s:]+)\)", body):
        assert (out / image).is_file()


def test_the_title_names_cifar10_only_for_its_classes(weights_file: Path) -> None:
    weights = load_weights(weights_file)
    other = dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, classes=("tea", "coffee")))
    titles = {}
    for name, one in {"same": weights, "other": other}.items():
        text = readme_text((MEMBER / "README.md").read_text(), torch="cpu", weights=one, sha256=one.sha256)
        titles[name] = re.findall(r"^title: (.*)$", text, re.MULTILINE)
    assert titles == {"same": ["CIFAR-10 classify and explain"], "other": ["Classify and explain"]}


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (("tea", "coffee"), "It knows `tea` and `coffee`."),
        (("<b>`tea", "[x](y)"), "It knows `<b> tea` and `[x](y)`."),
        (tuple(f"kind {number}" for number in range(23)), "`kind 18`, `kind 19` and 3 more."),
    ],
)
def test_the_page_names_the_classes(weights_file: Path, classes: tuple[str, ...], told: str) -> None:
    weights = load_weights(weights_file)
    other = dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, classes=classes))
    text = readme_text((MEMBER / "README.md").read_text(), torch="cpu", weights=other, sha256=other.sha256)
    assert told in text.partition("## This copy")[2]


def test_a_readme_without_front_matter_is_refused(weights_file: Path) -> None:
    weights = load_weights(weights_file)
    with pytest.raises(ValueError, match="no front matter"):
        readme_text("# cifar-space\n", torch="cpu", weights=weights, sha256=weights.sha256)


def test_caches_and_hidden_files_stay_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cifar_space.publish.space_files

    package = tmp_path / "src" / "cifar_models"
    shutil.copytree(cifar_space.publish.space_files._package_folder("cifar-models"), package)
    for name in (".env", "sub/.token", "__pycache__/a.pyc", "b.pyc", ".ipynb_checkpoints/c.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("secret")
    shutil.copy(MEMBER / "LICENSE", tmp_path / "LICENSE")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(cifar_space.publish.space_files, "_package_folder", lambda _: package)
    found = cifar_space.publish.space_files.package_files("cifar-models")
    assert "cifar_models/weights/io.py" in found
    assert b"secret" not in found.values()


def test_foreign_files_are_listed(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = build_bundle(of_run(run), out)
    assert foreign_files(out, manifest) == []
    (out / "link").symlink_to(run)
    (out / "cifar_space" / "notes.txt").touch()
    assert foreign_files(out, manifest) == ["cifar_space/notes.txt", "link"]
