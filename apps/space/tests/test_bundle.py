"""The folder that `cifar-space build` writes."""

import ast
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import RepoCard
from packaging.requirements import Requirement

from cifar_models import load_weights
from cifar_space import of_run, of_weights
from cifar_space.publish import bundle
from cifar_space.publish.bundle import TOP_NAMES, app_text, build_bundle, readme_text
from cifar_space.publish.requirements import MACHINES, installed_versions, requirements_text

MEMBER = Path(__file__).parents[1]
ASSETS = "cifar_space/assets"
PACKAGES = {"cifar_models", "cifar_explain", "cifar_space"}


@pytest.fixture
def run(run_folder, tmp_path):
    """A run directory with a report that names the machine where it was made."""
    folder = shutil.copytree(run_folder, tmp_path / "run")
    summary = {
        "data": {"origin": "parquet /home/jane doe/cifar10", "fingerprint": "ab/cd"},
        "command": ["cifar-train", "--data.root=/home/jane/cifar10", "C:\\Users\\jane\\x", "~/y", "a / b"],
        "note": "été",
    }
    (folder / "report" / "summary.json").write_text(json.dumps(summary, ensure_ascii=False), "utf-8")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"not for the Space")
    return folder


@pytest.fixture
def out(run, tmp_path):
    """The bundle of the run."""
    build_bundle(of_run(run), tmp_path / "out")
    return tmp_path / "out"


def test_bundle_holds_what_the_space_needs_and_no_more(run, out, contents):
    found = contents(out)
    assert {name.split("/")[0] for name in found} == set(TOP_NAMES)
    files = ("model.safetensors", "gallery/gallery.npz", "gallery/gallery.png", "report/figures/curves.png")
    assert all(found[f"{ASSETS}/{name}"] == (run / name).read_bytes() for name in files)
    assert len([name for name in found if name.startswith(f"{ASSETS}/examples/")]) == 11
    for package in PACKAGES:
        assert found[f"{package}/LICENSE"].startswith(b"MIT License")
        assert f"{package}/__init__.py" in found
    views = ("page.css", "choose_cell.js", "templates/cards.html")
    assert {f"cifar_space/views/{name}" for name in views} <= found.keys()
    assert {Path(name).suffix for name in found} <= {
        "", ".py", ".typed", ".md", ".txt", ".json", ".npz", ".png", ".safetensors", ".css", ".js", ".html", ".jinja"
    }  # fmt: skip


def test_bundle_imports_nothing_that_trains_and_pins_the_rest(out):
    nodes = [node for path in out.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    outside = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - PACKAGES
    names = {"PIL": "pillow", "pytorch_grad_cam": "grad-cam"}
    pinned, training = set(installed_versions()), {"lightning", "pytorch-lightning", "albumentations"}
    assert {names.get(name, name.replace("_", "-")) for name in outside} <= pinned - training - {
        "torchvision"
    }
    assert not pinned & training


def test_same_files_give_the_same_bytes_in_any_place_and_locale(run, out, tmp_path, contents):
    code = "from cifar_space.cli import main; raise SystemExit(main())"
    command = ["build", "--run", run.rename(tmp_path / "elsewhere"), "--out", tmp_path / "there"]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, *command], env={**os.environ, **locale}, check=True)
    assert contents(out) == contents(tmp_path / "there")


def test_bundle_does_not_name_the_machine(out, tmp_path, contents):
    summary = json.loads((out / ASSETS / "report" / "summary.json").read_text("utf-8"))
    assert summary == {
        "data": {"origin": "parquet cifar10", "fingerprint": "ab/cd"},
        "command": ["cifar-train", "--data.root=cifar10", "x", "y", "a / b"],
        "note": "été",
    }
    here = {str(MEMBER), str(tmp_path), str(Path.home()), sys.prefix}
    for name, content in contents(out).items():
        assert [place for place in here if os.fsencode(place) in content] == [], name


def test_another_dtype_leaves_the_gallery_out(run, tmp_path):
    build_bundle(of_run(run), tmp_path / "half", dtype="float16")
    weights = load_weights(tmp_path / "half" / ASSETS / "model.safetensors")
    assert weights.dtype == "float16"
    assert weights.metrics == load_weights(run / "model.safetensors").metrics
    assert not (tmp_path / "half" / ASSETS / "gallery").exists()
    assert weights.sha256 in (tmp_path / "half" / "README.md").read_text()
    # Already stored so: nothing changes, and the gallery stays.
    build_bundle(of_run(run), tmp_path / "full", dtype="float32")
    assert (tmp_path / "full" / ASSETS / "gallery" / "gallery.npz").is_file()


@pytest.mark.parametrize(
    ("files", "options", "error", "message"),
    [
        ({"weights": "no.safetensors"}, {}, FileNotFoundError, "no.safetensors"),
        ({"report": "gallery"}, {}, FileNotFoundError, "summary"),
        ({"weights": "other.safetensors"}, {}, ValueError, "gallery of another model"),
        ({}, {"torch": "cuda"}, ValueError, "torch must be one of"),
        ({}, {"dtype": "int8"}, ValueError, "dtype must be one of"),
    ],
)
def test_invalid_input_leaves_no_bundle(run, weights_file, tmp_path, files, options, error, message):
    shutil.copy(weights_file, run / "other.safetensors")
    files = dataclasses.replace(of_run(run), **{part: run / name for part, name in files.items()})
    before = set(tmp_path.iterdir())
    with pytest.raises(error, match=message):
        build_bundle(files, tmp_path / "out", **options)
    assert set(tmp_path.iterdir()) == before


def test_a_former_bundle_is_replaced(weights_file, out):
    (out / "cifar_space" / "__pycache__").mkdir()
    build_bundle(of_weights(weights_file), out, torch="zerogpu")
    assert "zero-a10g" in (out / "README.md").read_text()
    assert not (out / "cifar_space" / "__pycache__").exists()
    assert {path.name for path in (out / ASSETS).iterdir()} == {"examples", "model.safetensors"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((f"out/{name}", f"left as it is: {name}") for name in ("notes.txt", ".git")),
        ("mine/README.md", "left as it is: README.md"),
        ("file", "is a file"),
    ],
)
def test_other_files_are_not_replaced(weights_file, out, name, message):
    other = out.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")
    with pytest.raises(FileExistsError, match=re.escape(message)):
        build_bundle(of_weights(weights_file), out.parent / name.split("/")[0])
    assert other.read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_keeps_the_former_bundle(run, out, monkeypatch, contents, error):
    before, around, replace = contents(out), set(out.parent.iterdir()), Path.replace

    def fail(self, target):
        if self.name == "new":
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(error):
        build_bundle(of_run(run), out, torch="any")
    assert contents(out) == before
    assert set(out.parent.iterdir()) == around


def test_caches_and_hidden_files_are_left_out(weights_file, tmp_path, monkeypatch, contents):
    folder = bundle._package_folder
    package = shutil.copytree(folder("cifar-models"), tmp_path / "src" / "cifar_models")
    for name in (".env", "sub/.token", "__pycache__/a.pyc", "b.pyc", ".ipynb_checkpoints/c.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("secret")
    shutil.copy(MEMBER / "LICENSE", tmp_path)
    monkeypatch.setattr(
        bundle, "_package_folder", lambda name: {"cifar-models": package}.get(name) or folder(name)
    )
    build_bundle(of_weights(weights_file), tmp_path / "out")
    found = contents(tmp_path / "out")
    assert "cifar_models/weights/io.py" in found
    assert b"secret" not in found.values()


def test_requirements_pin_every_package():
    pins = {name: importlib.metadata.version(name).partition("+")[0] for name in installed_versions()}
    cpu = {name: f"{pins[name]}+cpu" for name in ("torch", "torchvision")}
    # The newest torch in the Hub's documentation of ZeroGPU, 2026-08.
    zerogpu = {"torch": "2.11.0", "torchvision": "0.26.0"}
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    for torch, other, more in (("any", {}, []), ("cpu", cpu, [index]), ("zerogpu", zerogpu, ["spaces"])):
        lines = [line for line in requirements_text(torch).splitlines() if not line.startswith("#")]
        pinned = [f"{name}=={version}" for name, version in (pins | other).items()]
        assert sorted(lines) == sorted([*pinned, *more])


def test_the_lock_has_the_same_packages():
    lock = MEMBER.parents[1] / "uv.lock"
    if shutil.which("uv") is None or not lock.is_file():
        pytest.skip("uv or its lock is not here")
    command = "uv export --frozen --quiet --package cifar-space --no-emit-workspace --no-hashes --no-header "
    command += "--no-annotate --no-default-groups"
    exported = subprocess.run(command.split(), cwd=lock.parent, capture_output=True, text=True, check=True)
    space = {"python_version": "3.12", "python_full_version": "3.12.12", "sys_platform": "linux",
             "platform_machine": "x86_64", "platform_system": "Linux"}  # fmt: skip
    needed = map(Requirement, exported.stdout.splitlines())
    locked = {one.name for one in needed if one.marker is None or one.marker.evaluate(space)}
    cuda = {name for name in locked if name.startswith(("cuda-", "nvidia-", "triton"))}
    assert set(installed_versions()) == locked - cuda


def test_the_sources_app_is_the_bundles():
    assert (MEMBER / "app.py").read_text() == app_text("cpu") == app_text("any")
    tree = ast.parse(app_text("zerogpu"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [ast.unparse(one) for one in function.decorator_list] == ["spaces.GPU"]
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports.index("import spaces") < imports.index("from cifar_space.cli import main")


@pytest.mark.parametrize(
    ("torch", "python", "hardware"), [("cpu", "3.12", None), ("zerogpu", "3.12.12", "zero-a10g")]
)
def test_readme_configures_the_space(run, tmp_path, torch, python, hardware):
    out = tmp_path / "out"
    build_bundle(of_run(run), out, torch=torch, model_id="user/model")
    card = RepoCard.load(out / "README.md")
    fields = card.data.to_dict()
    assert (fields["sdk"], fields["sdk_version"]) == ("gradio", importlib.metadata.version("gradio"))
    assert (fields["python_version"], fields.get("suggested_hardware")) == (python, hardware)
    assert (out / fields["app_file"]).is_file()
    # Source: the Hub's reference of a Space's configuration.
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {fields["colorFrom"], fields["colorTo"]} <= colours
    assert len(fields["short_description"]) <= 60
    assert (fields["models"], fields["datasets"]) == (["user/model"], ["uoft-cs/cifar10"])
    assert load_weights(run / "model.safetensors").sha256 in card.text
    assert "| test accuracy | 87.50 % |" in (out / "MODEL_CARD.md").read_text()


def test_readme_is_of_the_very_model(weights_file):
    weights = load_weights(weights_file)
    spec = dataclasses.replace(weights.spec, classes=('black "tea"', "<b>*coffee*"))
    assert "title: CIFAR-10 classify and explain\n" in readme_text(weights, machine=MACHINES["cpu"])
    text = readme_text(dataclasses.replace(weights, spec=spec), machine=MACHINES["cpu"], gallery=True)
    assert not re.search("(?i)cifar-?10|airplane|!\\[|datasets:|models:", text)
    assert 'black "tea", \\<b\\>\\*coffee\\*' in text
    nodes = ast.walk(ast.parse(text.partition("```python\n")[2].partition("```")[0]))
    calls = [node for node in nodes if isinstance(node, ast.keyword) and node.arg != "images"]
    values = {one.arg: ast.literal_eval(one.value) for one in calls}
    assert values["top"] == 2
    assert values["target"] == values["true"] == 'black "tea"'
    assert values["predicted"] == "<b>*coffee*"
    assert set(values["layers"]) <= set(weights.model.cam_layers)
