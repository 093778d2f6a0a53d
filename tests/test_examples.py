"""The examples do what they say: each is run as its text says, offline, in an empty folder."""

import ast
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from cifar_explain import read_gallery
from cifar_models import load_weights

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with nothing but the examples in it, a cache of its own, and no network for the Hub."""
    (tmp_path / "examples").symlink_to(EXAMPLES, target_is_directory=True)
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    return tmp_path


def commands(readme):
    """The command lines of a README's shell blocks, as lists of words without `uv run`."""
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) for line in block.splitlines()
    ]
    return [shlex.split(line.removeprefix("uv run ")) for line in lines if line.startswith("uv run ")]


def run(words, place):
    done = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_own_classes(place):
    draw, train, serve, build = commands((EXAMPLES / "own_classes" / "README.md").read_text())
    run(draw, place)
    folders = {path.name for path in (place / "data" / "pictures" / "train").iterdir()}
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
    with subprocess.Popen(
        [BIN / serve[0], *serve[1:], "--port", str(port)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        try:
            page = fetched(f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()
    assert "knows four things: checks, circle, dots and square" in page

    run(build, place)
    bundle = place / "data" / "space"
    assert load_weights(bundle / "cifar_space" / "assets" / "model.safetensors").sha256 == weights.sha256
    assert "title: Classify and explain\n" in (bundle / "README.md").read_text()
    names = {path.name for path in bundle.rglob("*.png")}
    assert not names & {path.name for path in (place / "data" / "pictures").rglob("*.png")}


def fetched(url, server, *, seconds=600):
    """The page at an address, as soon as the server answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    server.terminate()
    pytest.fail(f"no page at {url}: {server.stdout.read().decode()}")


def test_your_model_is_explained_with_one_package_alone(imported_modules):
    names = imported_modules(EXAMPLES / "explain_your_model.py")
    assert {name for name in names if name.startswith("cifar_")} == {"cifar_explain"}


@pytest.mark.slow
def test_explain_your_model(place):
    said = run(["python", "examples/explain_your_model.py", "explained"], place)
    out = place / "explained"
    errors, images = map(int, re.match(r"(\d+) of (\d+) test images are misclassified", said).groups())
    assert 0 < errors < images / 5
    with Image.open(out / "maps.png") as picture:
        assert picture.size == (
            4 * 48 * 4,
            3 * 48 * 4,
        )  # a photo and three layers, three classes, four times larger
    for name in ("misclassified.png", "confusion.png"):
        with Image.open(out / name) as picture:
            picture.verify()
    digest = hashlib.sha256((out / "model.pt").read_bytes()).hexdigest()
    gallery = read_gallery(out / "gallery", weights_sha256=digest)
    assert (len(gallery.errors), len(gallery.labels)) == (errors, images)


NOTEBOOK = EXAMPLES / "whole_way.ipynb"


def outputs(notebook):
    return [one for cell in notebook["cells"] if cell["cell_type"] == "code" for one in cell["outputs"]]


@pytest.mark.slow
def test_the_notebook_runs(place):
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    copy = place / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    # A busy machine takes more than the usual minute to start a kernel.
    run(["jupyter-execute", "--inplace", "--kernel_name=python3", "--startup_timeout=600", copy.name], place)
    notebook = json.loads(copy.read_text())
    assert [one for one in outputs(notebook) if one["output_type"] == "error"] == []
    text = "".join("".join(one["text"]) for one in outputs(notebook) if one["output_type"] == "stream")
    assert float(re.search(r"([\d.]+)% of 2,000 test images are right", text)[1]) > 30  # by chance: 10
    before, after = ast.literal_eval(re.search(r"^(\['\w+', '\w+'\])$", text, re.MULTILINE)[1])
    assert before == after


def test_the_notebooks_stored_answers_are_small_and_private():
    notebook = json.loads(NOTEBOOK.read_text())
    assert NOTEBOOK.stat().st_size < 300_000
    pictures = [one for one in outputs(notebook) if {"image/png", "image/jpeg"} & set(one.get("data", ()))]
    assert len(pictures) == 4
    home = re.escape(os.path.expanduser("~"))  # noqa: PTH111 - as text
    for one in outputs(notebook):
        assert one["output_type"] != "error"
        assert not re.search(rf"{home}|/tmp/|/home/", "".join(one.get("text", "")))


@pytest.mark.parametrize("readme", sorted(EXAMPLES.rglob("README.md")), ids=lambda path: path.parent.name)
def test_links_lead_somewhere(readme):
    for link in re.findall(r"\]\(([^):]+)\)", readme.read_text()):
        assert (readme.parent / link).exists(), link


def test_every_example_is_listed():
    listed = re.findall(r"\]\(([^):]+)\)", (EXAMPLES / "README.md").read_text())
    shown = [path for path in EXAMPLES.iterdir() if not path.name.startswith((".", "__"))]
    found = {path.name for path in shown if path.suffix in (".py", ".ipynb") or path.is_dir()}
    assert {Path(link).parts[0] for link in listed} == found
