"""The numbers of README.md and docs/RESULTS.md, computed once more from the files of results."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cifar_explain import read_gallery
from cifar_models import load_weights
from cifar_train.cli import main
from cifar_train.recipes import list_recipes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
RESULTS = ROOT / "docs" / "results"
ASSETS = ROOT / "apps" / "space" / "src" / "cifar_space" / "assets"
SUMMARY = json.loads((ASSETS / "report" / "summary.json").read_text("utf-8"))

ACCURACIES = {"test accuracy": "", "with flip": "_flip", "with flip and shift": "_tta"}
TIMES = {"training": "train_seconds", "wall time": "wall_seconds", "command to test result": "wall_seconds"}
METHODS = {"random": "random map", "gradcam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM"}


def tables(text):
    """The rows of all Markdown tables, as dictionaries by column."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        header, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines())
        yield from (dict(zip(header, row, strict=True)) for row in rows)


def summaries(row):
    paths = RESULTS.glob(f"{row}/seed-*/summary.json")
    return [json.loads(path.read_text("utf-8")) for path in sorted(paths)]


def cells(text):
    """The cells of the tables of results, each with the name of its row and its column."""
    for row in tables(text):
        if "test accuracy" in row:
            name = re.search(r"`([\w-]+)`", row["recipe"])[1]
            yield from ((name, column, cell) for column, cell in row.items() if column != "recipe")


def seconds(text):
    return sum(int(part) * 60**place for place, part in enumerate(reversed(text.split(":"))))


@pytest.mark.parametrize(("name", "column", "cell"), [*cells(README), *cells(DOCUMENT)])
def test_cell_is_of_the_runs(name, column, cell):
    runs = summaries(name)
    if column == "with TTA":
        column = "with flip and shift" if "test_accuracy_tta" in runs[0]["metrics"] else "with flip"
    if column in ACCURACIES:
        values = [run["metrics"].get(f"test_accuracy{ACCURACIES[column]}") for run in runs]
        expected = [] if None in values else [np.mean(values)]
        expected += [np.std(values, ddof=1)] if expected and len(runs) > 1 else []
        found = [float(number) / 100 for number in re.findall(r"[\d.]+", cell)]
        # Half of the last digit; numbers of summaries were float32.
        assert found == pytest.approx(expected, abs=0.000051)
    elif column in TIMES:
        values = [run[TIMES[column]] for run in runs]
        expected = [np.median(values), min(values), max(values)] if len(runs) > 1 else values
        assert [seconds(time) for time in re.findall(r"[\d:]+", cell)] == pytest.approx(expected, abs=0.501)
    else:
        expected = len(runs) if column == "seeds" else runs[0][column]
        assert cell.removeprefix("n = ") == f"{expected:,}"


def test_every_row_of_results_is_shown():
    names = {path.parent.parent.name for path in RESULTS.glob("*/seed-*/summary.json")}
    assert {name for name, _, _ in cells(DOCUMENT)} == names
    assert [*dict.fromkeys(name for name, _, _ in cells(README))] == ["fast", "best", "resnet9"]


def test_help_names_commands_and_states_accuracy_and_minutes_of_each_recipe(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert {"run", "fit", "test", "lr-find", "export", "report", "gallery"} <= set(
        re.findall(r"[\w-]+", text)
    )
    stated = re.findall(r"^  (\w+) +(\d+) %, ([\d.]+) minutes", text, re.MULTILINE)
    assert {name for name, _, _ in stated} == set(list_recipes())
    for name, accuracy, minutes in stated:
        runs = summaries(name)
        assert int(accuracy) == round(100 * np.mean([run["metrics"]["test_accuracy"] for run in runs]))
        median = np.median([run["wall_seconds"] for run in runs])
        assert 60 * float(minutes) == pytest.approx(median, rel=0.03)


def test_table_of_epochs_is_that_of_the_log():
    (link,) = re.findall(r"\]\((results/[\w-]+/metrics\.csv)\)", DOCUMENT.split("<!-- generated: run -->")[1])
    with (ROOT / "docs" / link).open(newline="", encoding="utf-8") as file:
        logged = list(csv.DictReader(file))
    shown = [row for row in tables(DOCUMENT) if "epoch" in row]
    assert len(shown) == SUMMARY["epochs"]
    for column, name in (
        ("training loss", "train_loss_epoch"), ("training accuracy", "train_accuracy"),
        ("validation loss", "val_loss"), ("validation accuracy", "val_accuracy"),
    ):  # fmt: skip
        scale, digits = (100, 2) if "accuracy" in name else (1, 4)
        expected = [f"{scale * float(row[name]):.{digits}f}" for row in logged if row[name]]
        assert [row[column].removesuffix(" %") for row in shown] == expected
    (tested,) = [float(row["test_accuracy"]) for row in logged if row["test_accuracy"]]
    assert tested == SUMMARY["metrics"]["test_accuracy"]


def test_most_frequent_confusion_is_named():
    matrix = np.array(SUMMARY["analysis"]["confusion_matrix"])
    np.fill_diagonal(matrix, 0)
    true, predicted = np.unravel_index(matrix.argmax(), matrix.shape)
    true, predicted = (SUMMARY["analysis"]["classes"][index]["name"] for index in (true, predicted))
    assert f"{true} predicted as {predicted}, {matrix.max()} times" in DOCUMENT


def test_faithfulness_is_stated_as_measured():
    scores = {(one["layer"], one["method"]): one for one in SUMMARY["analysis"]["faithfulness"]}
    shown = {row["layer"].strip("`"): row for row in tables(DOCUMENT) if "layer" in row}
    assert {(layer, method) for layer in shown for method in METHODS} == set(scores)
    for (layer, method), score in scores.items():
        assert shown[layer][METHODS[method]] == f"{score['mean']:.3f} ± {score['standard_error']:.3f}"

    def is_better(layer, method, rival):
        one, other = scores[layer, method], scores[layer, rival]
        error = np.hypot(one["standard_error"], other["standard_error"])
        return one["mean"] - other["mean"] > 2 * error

    better = [layer for layer in shown if is_better(layer, "gradcam", "random")]
    assert better == ["layer1", "layer2", "layer3"]
    assert "no better than a random map at prep, but better at layer1, layer2 and layer3" in DOCUMENT
    assert is_better("prep", "layercam", "gradcam")
    assert is_better("layer1", "layercam", "gradcam")
    assert f"ROAD score on {scores['prep', 'gradcam']['images']} test images" in DOCUMENT


def test_weights_gallery_and_summary_are_of_one_run():
    weights = load_weights(ASSETS / "model.safetensors")
    analysis = SUMMARY["analysis"]
    gallery = read_gallery(ASSETS / "gallery", weights_sha256=weights.sha256)
    assert len(gallery.errors) == analysis["test_errors"]
    assert analysis["test_accuracy"] == pytest.approx(1 - analysis["test_errors"] / len(gallery.labels))
    for name in ("test_accuracy", "test_accuracy_flip"):
        assert weights.metrics[name] == pytest.approx(analysis[name], abs=1e-6)
        # Storing in float16 may cost so much.
        assert analysis[name] == pytest.approx(SUMMARY["metrics"][name], abs=0.0005)
    assert weights.recipe["recipe"] == SUMMARY["recipe"]
    assert weights.metrics["data_fingerprint"] == SUMMARY["data"]["fingerprint"]
    assert sum(one.numel() for one in weights.model.parameters()) == SUMMARY["parameters"]
    assert SUMMARY["metrics"] in [run["metrics"] for run in summaries(SUMMARY["recipe"])]
