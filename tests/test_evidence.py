"""docs/evidence: the README is what it writes, and a run is shipped whole, from copies, into a root of its own."""

import doctest
import hashlib
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "evidence"
ASSETS = Path("apps/space/src/cifar_space/assets")

_RUN = [
    "--model.architecture=whitenet",
    '--model.arguments={"widths": [8, 8, 8]}',
    "--data.source=synthetic",
    "--data.train_limit=400",
    "--data.val_size=100",
    "--data.batch_size=50",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_epochs=1",
    "--report=false",
]


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    # As it is for `python docs/evidence`.
    monkeypatch.syspath_prepend(str(FOLDER))


def load(name):
    return importlib.import_module(name)


@pytest.fixture
def command(root, capsys):
    """The command, in the copy: its exit code, and what it told."""

    def called(*words):
        capsys.readouterr()
        code = load("evidence").main(["--root", str(root), *map(str, words)])
        return SimpleNamespace(returncode=code, **capsys.readouterr()._asdict())

    return called


def test_it_is_started_as_a_folder():
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert all(word in done.stdout for word in ("readme", "record", "ship", "screenshot"))


@pytest.mark.parametrize("name", ["cells", "regions", "shipping"])
def test_examples_of_the_documentation_are_true(name):
    result = doctest.testmod(load(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_readme_is_what_would_be_written():
    assert load("readme").difference(ROOT) == ""


# Cells


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_shares_are_numpys(values):
    mean, _, spread = load("cells").share(values).removesuffix(" %").partition(" ± ")
    assert float(mean) == pytest.approx(100 * np.mean(values), abs=0.00501)
    assert float(spread) == pytest.approx(100 * np.std(values, ddof=1), abs=0.00501)


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="has 1 cells; the header has 2"):
        load("cells").table(["a", "b"], [["one"]])


# Regions


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- generated: a -->\n",
        "<!-- generated: a -->\n<!-- end of b -->",
        "<!-- end of a -->\n<!-- generated: a -->\n",
        "<!-- generated: a -->\n<!-- end of a -->\n" * 2,
        "<!-- generated: a -->\n<!-- generated: a -->\n<!-- end of a -->\n<!-- end of a -->\n",
        "<!-- generated: a -->\n<!-- end of a -->\n<!-- generated: b -->\n<!-- end of b -->\n",
    ],
)
def test_marks_that_do_not_fit_are_refused(text):
    with pytest.raises(ValueError, match="it needs one region"):
        load("regions").fill(text, {"a": "new"})


def test_what_is_outside_of_regions_stays():
    text = "before\n<!-- generated: a -->\nold\n<!-- end of a -->\nafter\n"
    filled = load("regions").fill(text, {"a": r"new \1"})
    assert filled.startswith("before\n<!-- generated: a -->\n")
    assert filled.endswith("<!-- end of a -->\nafter\n")
    assert r"new \1" in filled
    assert "old" not in filled
    assert load("regions").fill(filled, {"a": r"new \1"}) == filled


# Rows


def put(results, row, seed, **fields):
    run = {"recipe": "fast", "seed": seed, "epochs": 7, "parameters": 10, "metrics": {}} | fields
    path = results / row / f"seed-{seed}" / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(run))


@pytest.fixture
def results(tmp_path):
    (tmp_path / "rows.toml").write_text(
        '[[measured]]\nname = "fast"\nabout = "quick"\n[[published]]\nname = "x"\n'
    )
    return tmp_path


def test_rows_are_in_order_and_unnamed_ones_come_last(results):
    for row, seed in [("fast-b", 0), ("fast-a", 0), ("fast", 10), ("fast", 9)]:
        put(results, row, seed)
    rows = load("runs").read_rows(results)
    assert [row.title for row in rows] == ["`fast`, quick", "`fast-a`", "`fast-b`"]
    assert [run["seed"] for run in rows[0].runs] == [9, 10]


def test_a_column_needs_every_run(results):
    put(results, "fast", 0, metrics={"test_accuracy": 0.9, "test_accuracy_flip": 0.91})
    put(results, "fast", 1, metrics={"test_accuracy": 0.8})
    (row,) = load("runs").read_rows(results)
    assert row.values("metrics", "test_accuracy") == [0.9, 0.8]
    assert row.values("metrics", "test_accuracy_flip") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 8}, "have epochs"),
        ({"parameters": 11}, "have parameters"),
        ({"recipe": "best"}, "its place is"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(results, fields, message):
    put(results, "fast", 0)
    put(results, "fast", 1, **fields)
    with pytest.raises(ValueError, match=message):
        load("runs").read_rows(results)


def test_a_row_without_runs_is_refused(results):
    put(results, "fast-a", 0)
    with pytest.raises(ValueError, match="names 'fast', but there is no"):
        load("runs").read_rows(results)


# Shipping


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small finished run."""
    from cifar_train.cli.main import main

    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CIFAR_CACHE_DIR", str(folder / "cache"))
        assert main([*_RUN, f"--runs={folder / 'runs'}"]) == 0
    return (folder / "runs" / "latest").resolve()


@pytest.fixture
def root(tmp_path, run, monkeypatch):
    """A root with the demo's files, its run as the only result, and the README that is of them."""
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(run.parents[1] / "cache"))
    # Of a network that has learned little, float16 changes more answers.
    monkeypatch.setattr(load("shipping"), "_TOLERANCE", 0.01)
    made = tmp_path / "root"
    shutil.copytree(ROOT / ASSETS / "report", made / ASSETS / "report")
    shutil.copyfile(ROOT / ASSETS / "model.safetensors", made / ASSETS / "model.safetensors")
    summary = json.loads((made / ASSETS / "report" / "summary.json").read_text())
    results = made / "docs" / "results"
    place = results / summary["recipe"] / f"seed-{summary['seed']}" / "summary.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(summary))
    shutil.copyfile(run / "metrics.csv", results / summary["recipe"] / "metrics.csv")
    (results / "rows.toml").write_text(
        f'[[measured]]\nname = "{summary["recipe"]}"\n'
        '[[published]]\nname = "x"\nnetwork = "y"\naccuracy = 90\njudged_on = "z"\n'
    )
    regions = ("results", "published", "shipped", "log", "errors")
    (made / "README.md").write_text(
        "".join(f"<!-- generated: {name} -->\n<!-- end of {name} -->\n" for name in regions)
    )
    load("readme").write(made)
    return made


def content(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_a_run_becomes_the_demo(command, root, run):
    before = content(run)
    shipped = command("ship", run, "--no-screenshot")
    assert shipped.returncode == 0, shipped.err
    assert content(run) == before

    from cifar_explain import read_gallery
    from cifar_models import load_weights

    weights = load_weights(root / ASSETS / "model.safetensors")
    assert weights.dtype == "float16"
    gallery = read_gallery(root / ASSETS / "gallery", weights_sha256=weights.sha256)
    summary = json.loads((root / ASSETS / "report" / "summary.json").read_text())
    assert summary["command"] == ["cifar-train", *_RUN]
    assert summary["analysis"]["test_errors"] == len(gallery.errors)
    assert weights.metrics["test_accuracy"] == pytest.approx(summary["analysis"]["test_accuracy"])
    assert json.loads((root / "docs/results/fast/seed-0/summary.json").read_text()) == summary
    assert (root / "docs/results/fast/metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    kept = load_weights(root / "weights" / "fast.safetensors")
    assert kept.sha256 == weights.sha256
    assert 'load_weights("fast.safetensors")' in (root / "weights" / "fast.md").read_text()

    readme = (root / "README.md").read_text()
    assert f"{summary['analysis']['test_errors']:,} of 2,000 test images are misclassified" in readme
    assert command("readme", "--check").returncode == 0

    # Once more, and nothing changes.
    after = content(root)
    again = command("ship", run, "--no-screenshot")
    assert again.returncode == 0, again.err
    assert content(root) == after


@pytest.mark.slow
def test_a_step_that_fails_leaves_everything(command, root, run, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "metrics.csv").unlink()
    before = content(root)
    failed = command("ship", broken)
    assert failed.returncode == 2
    assert "metrics.csv; a run that came to its end has one" in failed.err
    assert content(root) == before
    # The last step: a README that has no place for what is to be written.
    (root / "README.md").write_text("nothing")
    before = content(root)
    failed = command("record", run)
    assert failed.returncode == 2
    assert "it needs one region" in failed.err
    assert content(root) == before


def test_float16_may_not_cost_accuracy(command, root, run, monkeypatch):
    monkeypatch.setattr(load("shipping"), "_TOLERANCE", -1.0)
    before = content(root)
    refused = command("ship", run, "--no-screenshot")
    assert refused.returncode == 2
    assert "in float16 and" in refused.err
    assert content(root) == before


def test_a_recorded_run_is_a_row(command, root, run):
    done = command("record", run, "--row", "fast-tiny")
    assert done.returncode == 0, done.err
    assert done.out.split() == ["docs/results/fast-tiny/seed-0/summary.json", "README.md"]
    assert "| `fast-tiny` | n = 1 | 1 |" in (root / "README.md").read_text()


def test_a_difference_is_shown_and_fails(command, root):
    path = root / "README.md"
    text = path.read_text()
    path.write_text(text.replace("n = 1 |", "n = 4 |"))
    checked = command("readme", "--check")
    assert checked.returncode == 1
    (removed,) = [line for line in checked.out.splitlines() if line.startswith("-|")]
    (added,) = [line for line in checked.out.splitlines() if line.startswith("+|")]
    assert "n = 4 |" in removed
    assert added[1:] in text
    assert "n = 4 |" in path.read_text()
    assert command("readme").returncode == 0
    assert path.read_text() == text
    assert command("readme", "--check").returncode == 0


def test_the_demos_run_must_be_among_the_results(command, root):
    (summary,) = (root / "docs" / "results").glob("*/seed-*/summary.json")
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"metrics": {"test_accuracy": 0.5}}))
    assert command("readme").returncode == 2
    with pytest.raises(ValueError, match="is in no folder of docs/results"):
        load("readme").render(root)


def test_a_command_that_names_a_folder_of_one_machine_is_refused(run, tmp_path):
    shipping = load("shipping")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "report" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"command": ["cifar-train", "--config", "/somewhere/config"]}))
    with pytest.raises(ValueError, match="names '/somewhere/config'"):
        shipping.record(copy, tmp_path)
