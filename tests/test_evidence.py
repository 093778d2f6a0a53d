"""docs/evidence: the documents are what it writes, and runs are recorded and shipped whole or not at all."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import documents
import pytest
import results
import shipping
from PIL import Image

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "evidence"
ASSETS = Path("apps/space/src/cifar_space/assets")


@pytest.fixture
def root(tmp_path):
    """A copy of the documents and of what they are made of."""
    documents.copy_sources(ROOT, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def command(root, capsys):
    """Call the command in the copy, which must exit with `code`; returns what it printed."""
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]

    def call(*words, code=0):
        capsys.readouterr()
        assert main(["--root", str(root), *map(str, words)]) == code
        return "".join(capsys.readouterr())

    return call


@pytest.fixture
def finished(tmp_path):
    """A run directory with a summary, of a recipe without results so far."""
    shutil.copytree(ROOT / ASSETS / "report", tmp_path / "run" / "report")
    edit_summary(tmp_path / "run", recipe="new", command=["cifar-train", "--runs=/data/runs"])
    return tmp_path / "run"


def edit_summary(run, **fields):
    path = run / "report" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_documents_are_as_written_and_the_folder_is_a_command():
    for place, text in documents.render(ROOT).items():
        assert (ROOT / place).read_text(encoding="utf-8") == text
    assert b"screenshot" in subprocess.check_output([sys.executable, FOLDER, "--help"])


def test_changed_document_is_reported_and_rewritten(command, root):
    path = root / "docs" / "RESULTS.md"
    text = path.read_text("utf-8")
    path.write_text(text.replace("n = 3 |", "n = 4 |"), "utf-8")
    assert command("write", "--check", code=1) == command("write") == "docs/RESULTS.md\n"
    assert path.read_text("utf-8") == text
    assert command("write", "--check") == "\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- generated: run -->", ""),
        ("<!-- end of run -->", "<!-- end of errors -->"),
        ("<!-- generated: run -->", "<!-- generated: run -->\n<!-- generated: run -->"),
        ("# Results", "<!-- generated: more -->\n<!-- end of more -->"),
    ],
)
def test_wrong_marks_are_rejected(root, old, new):
    path = root / "docs" / "RESULTS.md"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(ValueError, match="need one region"):
        documents.render(root)


def test_recorded_run_becomes_last_row(command, root, finished):
    assert command("record", finished).split() == ["docs/RESULTS.md", "docs/results/new/seed-0/summary.json"]
    lines = (root / "docs" / "RESULTS.md").read_text("utf-8").splitlines()
    assert [line for line in lines if "| n = " in line][-1].startswith("| `new` | n = 1 | 10 |")
    recorded = json.loads((root / "docs/results/new/seed-0/summary.json").read_text("utf-8"))
    assert recorded["command"] == ["cifar-train"]


def test_run_of_another_length_needs_its_own_row(command, root, finished):
    edit_summary(finished, recipe="fast", seed=9)
    before = content(root)
    assert "differ in epochs or parameters" in command("record", finished, code=2)
    assert content(root) == before
    command("record", finished, "--row", "fast-long")
    # Nor may it be put in a row of another recipe, or name a file of this machine.
    place = "its place is fast/seed-9 or fast-<variant>/seed-9"
    assert place in command("record", finished, "--row", "old", code=2)
    edit_summary(finished, command=["cifar-train", "--config=/somewhere/config"])
    assert "names '--config=/somewhere/config'" in command("record", finished, code=2)


def test_missing_results_are_reported(root):
    shutil.rmtree(root / "docs" / "results" / "resnet9" / "seed-0")
    with pytest.raises(ValueError, match="the app's run, resnet9 with seed 0, is in no folder"):
        documents.render(root)
    shutil.rmtree(root / "docs" / "results" / "best")
    with pytest.raises(ValueError, match="names 'best', but"):
        documents.render(root)


def test_row_has_accuracies_that_every_run_has_and_machines_are_named_with_their_rows():
    runs = [{"metrics": {"a": 0.9, "b": 0.9}}, {"metrics": {"a": 0.8}}]
    row = results.Row("fast", "", runs)
    assert (row.percent("a"), row.percent("b")) == ("85.00 ± 7.07 %", "")
    runs = [{"environment": {"cores": n, "processor": "EPYC", "precision": "32-true"}} for n in (2, 4)]
    rows = [results.Row("a", "", runs[:1]), results.Row("b", "", runs)]
    assert results.describe_machines(rows[:1]) == "2 cores of an EPYC in float32"
    assert results.describe_machines(rows).endswith("float32 (a, b); 4 cores of an EPYC in float32 (b)")


@pytest.mark.slow
@pytest.mark.usefixtures("browser")
def test_screenshot_is_of_a_whole_page(root):
    # A process of its own: one process runs Playwright once.
    subprocess.run([sys.executable, FOLDER, "--root", root, "screenshot"], check=True)
    with Image.open(root / "apps" / "space" / "screenshot.png") as image:
        assert image.size == (1440, 960)


@pytest.mark.slow
def test_run_is_shipped_whole_or_not_at_all(command, root, tmp_path, monkeypatch):
    from cifar_explain import read_gallery
    from cifar_models import load_weights
    from cifar_train.cli import main

    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path / "cache"))
    arguments = [
        "--data.source=synthetic", "--data.train_limit=400", "--data.val_size=100", "--data.batch_size=50",
        "--model.architecture=whitenet", '--model.arguments={"widths": [8, 8, 8]}', "--trainer.max_epochs=1",
        "--report=false",
    ]  # fmt: skip
    assert main([*arguments, f"--runs={tmp_path / 'runs'}"]) == 0
    run = (tmp_path / "runs" / "latest").resolve()
    # The results of its recipe make room for it.
    shutil.rmtree(root / "docs" / "results" / "fast")
    trained, before = content(run), content(root)

    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / "metrics.csv").unlink()
    assert "metrics.csv" in command("ship", unfinished, code=2)
    monkeypatch.setattr(shipping, "TOLERANCE", -1.0)
    assert "in float16 and" in command("ship", run, "--no-screenshot", code=2)
    assert content(root) == before

    # In a network that has learned little, float16 changes more predictions.
    monkeypatch.setattr(shipping, "TOLERANCE", 0.01)
    command("ship", run, "--no-screenshot")
    assert content(run) == trained
    weights = load_weights(root / ASSETS / "model.safetensors")
    assert weights.dtype == "float16"
    gallery = read_gallery(root / ASSETS / "gallery", weights_sha256=weights.sha256)
    summary = json.loads((root / ASSETS / "report" / "summary.json").read_text("utf-8"))
    assert summary["command"] == ["cifar-train", *arguments]
    assert summary["analysis"]["test_errors"] == len(gallery.errors)
    assert weights.metrics["test_accuracy"] == pytest.approx(summary["analysis"]["test_accuracy"])
    recorded = root / "docs" / "results" / "fast"
    assert json.loads((recorded / "seed-0" / "summary.json").read_text("utf-8")) == summary
    assert (recorded / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    assert load_weights(root / "weights" / "fast.safetensors").sha256 == weights.sha256
    assert 'load_weights("fast.safetensors")' in (root / "weights" / "fast.md").read_text("utf-8")
    errors = f"{summary['analysis']['test_errors']:,} of 2,000 test images are misclassified"
    assert errors in (root / "README.md").read_text("utf-8")

    # Once more, and nothing changes.
    after = content(root)
    command("ship", run, "--no-screenshot")
    assert content(root) == after
