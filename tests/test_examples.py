"""The examples work as their text says: each is run offline, in an empty folder."""

import ast
import hashlib
import json
import re
import shlex
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from size import imported_packages

from cifar_explain import read_gallery
from cifar_models import load_weights

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "end_to_end.ipynb"
BIN = Path(sys.executable).parent


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with the examples in it, a cache of its own, and no network for the Hub."""
    (tmp_path / "examples").symlink_to(EXAMPLES, target_is_directory=True)
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    return tmp_path


def run(words, place):
    # Errors are shown with the failed test.
    return subprocess.check_output([BIN / words[0], *words[1:]], cwd=place, text=True)


@pytest.mark.slow
def test_own_classes_are_trained_served_and_built(place):
    readme = (EXAMPLES / "own_classes" / "README.md").read_text("utf-8")
    draw, train, serve, build = map(shlex.split, re.findall(r"^uv run (.*)$", readme, re.MULTILINE))
    run(draw, place)
    folders = {path.name for path in (place / "data" / "shapes" / "train").iterdir()}
    assert len(folders) == 4
    run(train, place)
    weights = load_weights(place / "runs" / "latest" / "model.safetensors")
    assert set(weights.spec.classes) == folders
    assert weights.metrics["test_accuracy"] > 0.5  # by chance: 0.25
    gallery = read_gallery(place / "runs" / "latest" / "gallery", weights_sha256=weights.sha256)
    assert gallery.probabilities.shape == (240, 4)

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", [BIN / serve[0], *serve[1:], f"--port={port}"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as server:
        try:
            # Printed once the server answers.
            assert url in (line := server.stdout.readline()), line
            with urllib.request.urlopen(url) as answer:
                page = answer.read().decode()
        finally:
            server.terminate()
    assert "four classes: checks, circle, dots and square" in page

    run(build, place)
    bundle = place / "data" / "space"
    assert load_weights(bundle / "cifar_space" / "assets" / "model.safetensors").sha256 == weights.sha256
    assert "title: " in (bundle / "README.md").read_text("utf-8")
    shapes = {path.name for path in (place / "data" / "shapes").rglob("*.png")}
    assert not shapes & {path.name for path in bundle.rglob("*.png")}


def test_your_model_is_explained_with_one_package_alone():
    names = imported_packages(EXAMPLES / "explain_your_model.py")
    assert {name for name in names if name.startswith("cifar_")} == {"cifar_explain"}


@pytest.mark.slow
def test_explain_your_model_writes_maps_errors_and_gallery(place):
    output = run(["python", "examples/explain_your_model.py", "explained"], place)
    out = place / "explained"
    errors, images = map(int, re.match(r"(\d+) of (\d+) test images are misclassified", output).groups())
    assert 0 < errors < images / 5
    with Image.open(out / "maps.png") as figure:
        # An image and three layers, three classes, four times larger.
        assert figure.size == (4 * 48 * 4, 3 * 48 * 4)
    for name in ("misclassified.png", "confusion.png"):
        Image.open(out / name).close()
    digest = hashlib.sha256((out / "model.pt").read_bytes()).hexdigest()
    gallery = read_gallery(out / "gallery", weights_sha256=digest)
    assert (len(gallery.errors), len(gallery.labels)) == (errors, images)


def outputs(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [one for cell in cells if cell["cell_type"] == "code" for one in cell["outputs"]]


@pytest.mark.slow
def test_notebook_runs(place):
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    copy = place / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    # On a busy machine a kernel needs more than the usual minute to start.
    run(["jupyter-execute", "--inplace", "--kernel_name=python3", "--startup_timeout=600", copy.name], place)
    assert [one for one in outputs(copy) if one["output_type"] == "error"] == []
    text = "".join("".join(one.get("text", "")) for one in outputs(copy))
    assert float(re.search(r"([\d.]+)% of 2,000 test images", text)[1]) > 30  # by chance: 10
    before, after = ast.literal_eval(re.search(r"^(\['\w+', '\w+'\])$", text, re.MULTILINE)[1])
    assert before == after


def test_notebook_has_small_outputs_without_errors_or_personal_paths():
    assert NOTEBOOK.stat().st_size < 300_000
    stored = outputs(NOTEBOOK)
    assert sum("image/jpeg" in one.get("data", ()) for one in stored) == 4
    for one in stored:
        assert one["output_type"] != "error"
        assert not re.search(rf"{re.escape(str(Path.home()))}|/tmp/|/home/", "".join(one.get("text", "")))


def test_readme_names_every_example_and_nothing_else():
    links = re.findall(r"\]\(([^):]+)\)", (EXAMPLES / "README.md").read_text("utf-8"))
    shown = [path for path in EXAMPLES.iterdir() if not path.name.startswith((".", "__"))]
    found = {path.name for path in shown if path.suffix in (".py", ".ipynb") or path.is_dir()}
    assert {Path(link).parts[0] for link in links} == found
