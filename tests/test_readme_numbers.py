"""The README says what was measured: each of its numbers is looked up in docs/results and in the shipped weights.

docs/results/README.md says which file holds what, and how several runs become one cell.
"""

import csv
import json
import re
import statistics
import tomllib
from pathlib import Path

import pytest

from cifar_explain import read_gallery
from cifar_models import create_model, list_models, load_weights

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "docs" / "results"
ASSETS = ROOT / "apps" / "space" / "assets"

#: Where a column of a table of results finds its number in a run's summary.
COLUMNS = {
    "epochs": ("epochs",),
    "parameters": ("parameters",),
    "validation accuracy": ("metrics", "val_accuracy"),
    "test accuracy": ("metrics", "test_accuracy"),
    "with flip": ("metrics", "test_accuracy_flip"),
    "with flip and shift": ("metrics", "test_accuracy_tta"),
    "wall time": ("wall_seconds",),
    "training": ("train_seconds",),
    "images/s": ("images_per_second",),
}
#: Where a column of the table of epochs finds its number in metrics.csv.
LOG_COLUMNS = {
    "training loss": "train_loss_epoch",
    "training accuracy": "train_accuracy",
    "validation loss": "val_loss",
    "validation accuracy": "val_accuracy",
}

_NUMBER = r"\d+(?::\d\d){1,2}|\d[\d,]*(?:\.\d+)?"
_CELL = re.compile(
    rf"(?P<value>{_NUMBER})(?: ± (?P<spread>{_NUMBER}))?(?P<unit> %)?"
    rf"(?: \((?P<low>{_NUMBER}) to (?P<high>{_NUMBER})(?: %)?\))?"
)
# In sentences: percentages, times, numbers with thousands.
_QUANTITY = re.compile(r"(?<![\w.:,])(?:\d+(?:\.\d+)? %|\d+(?::\d\d){1,2}|\d{1,3}(?:,\d{3})+)(?![\w:,]\d)")


def section(text):
    """The part of the README that shows results, without its links and pictures."""
    part = text.partition("## What comes out\n")[2].partition("\n## ")[0]
    return re.sub(r"\]\([^)]*\)|<[^>]*>", "", part)


def tables(text):
    """Every Markdown table of a text: its header, and its rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def prose(text):
    """The sentences of the results, on one line."""
    return " ".join(re.sub(r"^\|.*\|$", "", section(text), flags=re.MULTILINE).split())


def number(text):
    """A number, or a time in seconds; and the worth of its last digit."""
    if ":" in text:
        seconds = 0
        for part in text.split(":"):
            seconds = 60 * seconds + int(part)
        return float(seconds), 1.0
    digits = text.replace(",", "")
    return float(digits), 10.0 ** -len(digits.partition(".")[2])


def says(text, expected):
    """Whether a published number is the nearest one with as many digits; float32 has rounded both once before."""
    value, digit = number(text)
    return abs(value - expected) <= digit / 2 + 1e-7 * max(1, abs(expected))


def summaries(recipe):
    paths = sorted(RESULTS.glob(f"{recipe}/seed-*/summary.json"))
    found = [json.loads(path.read_text()) for path in paths]
    for path, summary in zip(paths, found, strict=True):
        # A variant of a recipe has a row of its own: `resnet9-3-epochs`.
        assert recipe == summary["recipe"] or recipe.startswith(f"{summary['recipe']}-"), path
        assert path.parent.name == f"seed-{summary['seed']}", path
    return found


def looked_up(summary, keys):
    for key in keys:
        summary = summary.get(key) if summary is not None else None
    return summary


def wrong_with(cell, values):
    """What a cell has wrong about these values, one of each run; nothing if it is right."""
    found = _CELL.fullmatch(cell)
    if found is None:
        return "is not a number, a mean ± deviation or a median (lowest to highest)"
    scale = 100 if found["unit"] else 1
    values = [scale * value for value in values]
    ranged, spread = found["low"] is not None, found["spread"]
    expected = {"value": statistics.median(values) if ranged else statistics.fmean(values)}
    if ranged:
        expected |= {"low": min(values), "high": max(values)}
    if spread:
        if len(values) < 2:
            return "has a deviation, but there is one run"
        expected["spread"] = statistics.stdev(values)
    wrong = [f"{name} is {value:.6g}" for name, value in expected.items() if not says(found[name], value)]
    return "; ".join(wrong)


def result_problems(text):
    """What is wrong in the tables of results: those with a column `test accuracy`."""
    problems = []
    for table in tables(text):
        for row in table if "test accuracy" in table[0] else []:
            title = next(iter(row.values()))
            named = re.search(r"`([\w-]+)`", title)
            if named is None:
                continue  # a number of others, which the text says
            runs = summaries(named[1])
            if not runs:
                problems.append(f"{title}: docs/results/{named[1]} has no seed-<n>/summary.json")
                continue
            for column, cell in list(row.items())[1:]:
                if not re.search(r"\d", cell):
                    continue
                if column == "seeds":
                    wrong = "" if cell == f"n = {len(runs)}" else f"there are {len(runs)}"
                elif column not in COLUMNS:
                    wrong = "is of a column that no file of results holds"
                else:
                    values = [looked_up(run, COLUMNS[column]) for run in runs]
                    wrong = "is missing in a summary" if None in values else wrong_with(cell, values)
                if wrong:
                    problems.append(f"{title}, {column}: {cell} {wrong}")
    return problems


def log_path(text):
    """The metrics.csv that the README links to."""
    (linked,) = set(re.findall(r"\]\((docs/results/[\w-]+/metrics\.csv)\)", text))
    return ROOT / linked


def epochs_of(path):
    """The epochs' rows of a metrics.csv, training and validation of an epoch together."""
    epochs = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["val_accuracy"] or row["train_accuracy"]:
                kept = {name: float(row[name]) for name in LOG_COLUMNS.values() if row[name]}
                epochs.setdefault(int(row["epoch"]) + 1, {}).update(kept)
    return epochs


def log_problems(text):
    """What is wrong in the table of epochs."""
    (table,) = [table for table in tables(text) if "epoch" in table[0]]
    epochs = epochs_of(log_path(text))
    problems = []
    if [row["epoch"] for row in table] != [str(epoch) for epoch in epochs]:
        problems.append(f"the log has the epochs {list(epochs)}")
    for row, measured in zip(table, epochs.values(), strict=False):
        for column, name in LOG_COLUMNS.items():
            wrong = wrong_with(row[column], [measured[name]])
            if wrong:
                problems.append(f"epoch {row['epoch']}, {column}: {row[column]} {wrong}")
    return problems


@pytest.fixture(scope="module")
def shipped():
    return load_weights(ASSETS / "model.safetensors")


@pytest.fixture(scope="module")
def shipped_summary():
    return json.loads((ASSETS / "report" / "summary.json").read_text())


@pytest.fixture(scope="module")
def parameters():
    """How many parameters each architecture has with its own default arguments."""
    return [sum(one.numel() for one in create_model(name).parameters()) for name in list_models()]


def commonest(analysis):
    """True class, predicted class and count of the largest cell beside the confusion matrix's diagonal."""
    names, matrix = [one["name"] for one in analysis["classes"]], analysis["confusion_matrix"]
    cells = [(row[j], i, j) for i, row in enumerate(matrix) for j in range(len(row)) if i != j]
    count, true, predicted = max(cells)
    return names[true], names[predicted], count


def prose_problems(text, summary, parameters, recipe=None):
    """What is wrong in the sentences around the tables."""
    analysis = summary["analysis"]
    problems = []
    for pattern, values in {
        r"measured again from the file: ([\d.]+) %, with flip ([\d.]+) %": [
            100 * analysis["test_accuracy"],
            100 * analysis["test_accuracy_flip"],
        ],
        r"([\d,]+) of ([\d,]+) test images are misclassified": [
            analysis["test_errors"],
            summary["data"]["test"],
        ],
        r"commonest error: \w+ taken for \w+, (\d+) times": [commonest(analysis)[2]],
    }.items():
        found = re.search(pattern, prose(text))
        if found is None:
            problems.append(f"there is no {pattern!r}; if the sentence changed, change it here too")
        elif not all(map(says, found.groups(), values)):
            problems.append(f"{found[0]!r} should say {values}")
    low = (recipe or {}).get("low_resolution")
    recipes = [summaries(folder.name) for folder in RESULTS.iterdir() if folder.is_dir()]
    runs = [run for recipe in recipes for run in recipe]
    named = ("test_accuracy", "test_accuracy_flip", "test_accuracy_tta")
    shares = [analysis[name] for name in named if analysis.get(name) is not None]
    # The share of the steps at low resolution.
    shares += [low["until"]] if low else []
    seconds = []
    for row in filter(None, recipes):
        for keys in COLUMNS.values():
            values = [looked_up(run, keys) for run in row]
            if None in values:
                continue
            if "accuracy" in keys[-1]:
                shares += [*values, statistics.fmean(values)]
            elif "seconds" in keys[-1]:
                seconds += [*values, statistics.median(values)]
    counts = [
        analysis["test_errors"],
        *parameters,
        *(run["parameters"] for run in runs),
        *(run["data"]["test"] for run in runs if "data" in run),
    ]
    for quantity in _QUANTITY.findall(prose(text)):
        digits = quantity.removesuffix(" %")
        known = (
            [100 * share for share in shares] if digits != quantity else seconds if ":" in digits else counts
        )
        if not any(says(digits, value) for value in known):
            problems.append(f"{quantity} is in no file of results")
    return problems


def test_the_tables_of_results():
    assert result_problems(README) == []


def test_the_table_of_epochs():
    assert log_problems(README) == []


def test_the_sentences(shipped, shipped_summary, parameters):
    assert prose_problems(README, shipped_summary, parameters, shipped.recipe["model"]) == []


def test_the_commonest_error_is_named(shipped_summary):
    true, predicted, count = commonest(shipped_summary["analysis"])
    assert f"{true} taken for {predicted}, {count} times" in prose(README)


def published_problems(text):
    """What is wrong in the table of others' results, against docs/results/rows.toml."""
    (table,) = [table for table in tables(text) if "as published" in table[0]]
    entries = tomllib.loads((RESULTS / "rows.toml").read_text(encoding="utf-8"))["published"]
    problems = [] if len(table) == len(entries) else [f"there are {len(entries)} entries"]
    for row, entry in zip(table, entries, strict=False):
        told = {
            "accuracy": float(row["accuracy"].removesuffix(" %")),
            "seconds": float(row["training"].removesuffix(" s")) if row["training"] else None,
            "epochs": float(row["epochs"]) if row["epochs"] else None,
        }
        problems += [
            f"{entry['name']}: {name} is {value}" for name, value in told.items() if value != entry.get(name)
        ]
        if entry["name"] not in row["as published"] or entry.get("url", "") not in row["as published"]:
            problems.append(f"{entry['name']} is told as {row['as published']}")
    return problems


def test_the_table_of_what_others_state():
    assert published_problems(README) == []


def test_the_mark_to_beat_is_the_logs():
    first = tomllib.loads((RESULTS / "rows.toml").read_text(encoding="utf-8"))["published"][0]
    assert f"mark to beat, {first['accuracy']} %" in (ROOT / "docs" / "LOG.md").read_text(encoding="utf-8")


def test_the_log_is_of_one_of_the_runs():
    path = log_path(README)
    with path.open(newline="") as file:
        (tested,) = [float(row["test_accuracy"]) for row in csv.DictReader(file) if row["test_accuracy"]]
    assert tested in [run["metrics"]["test_accuracy"] for run in summaries(path.parent.name)]


def test_weights_gallery_summary_and_results_are_of_one_run(shipped, shipped_summary):
    analysis, gallery = shipped_summary["analysis"], read_gallery(ASSETS / "gallery")
    assert gallery.weights_sha256 == shipped.sha256
    assert len(gallery.errors) == analysis["test_errors"]
    assert analysis["test_accuracy"] == pytest.approx(1 - analysis["test_errors"] / len(gallery.labels))
    for name in ("test_accuracy", "test_accuracy_flip"):
        assert shipped.metrics[name] == pytest.approx(analysis[name], abs=1e-6)
        # float16 may cost something, but not more than this.
        assert analysis[name] == pytest.approx(shipped_summary["metrics"][name], abs=0.0005)
    assert shipped.recipe["recipe"] == shipped_summary["recipe"]
    assert shipped.metrics["data_fingerprint"] == shipped_summary["data"]["fingerprint"]
    assert sum(one.numel() for one in shipped.model.parameters()) == shipped_summary["parameters"]
    runs = [run["metrics"] for run in summaries(shipped_summary["recipe"])]
    assert shipped_summary["metrics"] in runs


def changed_digits(text):
    """Every number of the results that is checked, and the text in which its last digit is another."""
    start = text.index("## What comes out\n")
    for line in re.finditer(r".+", text[start : text.index("\n## ", start)]):
        first = line[0].strip("|").partition("|")[0]
        in_table, ours = line[0].startswith("|"), "`" in first or first.strip().isdigit()
        pattern = re.compile(rf"(?<![\w.:,])(?:{_NUMBER})") if in_table and ours else _QUANTITY
        for found in pattern.finditer(line[0] if ours or not in_table else ""):
            # By five, since a number that lies halfway between two may be rounded to either.
            last = start + line.start() + found.start() + len(re.match(_NUMBER, found[0])[0]) - 1
            yield found[0], text[:last] + str((int(text[last]) + 5) % 10) + text[last + 1 :]


def test_a_changed_number_is_noticed(shipped, shipped_summary, parameters):
    tried = 0
    for quantity, text in changed_digits(README):
        problems = (
            result_problems(text)
            + log_problems(text)
            + prose_problems(text, shipped_summary, parameters, shipped.recipe["model"])
        )
        assert problems, f"{quantity} was changed and nobody noticed"
        tried += 1
    assert tried > 30


@pytest.mark.parametrize(
    ("told", "changed"), [("3.83 s", "3.84 s"), ("89.64 %", "89.54 %"), ("| 24 |", "| 25 |")]
)
def test_a_changed_number_of_others_is_noticed(told, changed):
    assert published_problems(README.replace(told, changed))


@pytest.mark.parametrize(
    ("cell", "values", "right"),
    [
        ("94.01 %", [0.94008], True),
        ("94.01 %", [0.9402], False),
        ("94.01 %", [0.9398, 0.9404], True),
        ("94.01 ± 0.04 %", [0.9398, 0.9404], True),
        ("94.01 ± 0.03 %", [0.9398, 0.9404], False),
        ("94.01 ± 0.04 %", [0.9401], False),
        ("5:45", [344.7], True),
        ("5:44", [344.7], False),
        ("1:05:45", [3945.2], True),
        ("5:45 (5:40 to 6:02)", [340, 345, 362], True),
        ("5:45 (5:40 to 6:02)", [340, 345, 363], False),
        ("5:45 (5:40 to 6:02)", [341, 345, 362], False),
        ("498,104", [498104], True),
        ("498,105", [498104], False),
        ("7", [7], True),
        ("about 7", [7], False),
    ],
)
def test_cells_are_judged_rightly(cell, values, right):
    assert (wrong_with(cell, values) == "") == right
