"""Summary, page and model card: the facts that are known, and undefined ones in words or left out."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from cifar_data import CANONICAL_FINGERPRINT
from cifar_explain import Evaluation, Faithfulness, find_errors
from cifar_models import CIFAR10, InputSpec, WeightsHeader, load_weights
from cifar_train import model_card
from cifar_train.report.analysis import Analysis, ErrorMaps
from cifar_train.report.page import render_page
from cifar_train.runs.summary import Summary, format_metrics, format_rows, read_summary, write_summary

RECIPE = yaml.safe_load("""
recipe: own-recipe
seed_everything: 17
model:
  lr: 0.0625
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 9.0, momentum: 0.875}}
  schedule: {peak: 0.25, div: 8.0, final_div: 64.0, anneal: cos}
  low_resolution: {until: 0.4, size: 20}
  label_smoothing: 0.15
  micro_batch: 75
data:
  batch_size: 150
  augmentation: {padding: 3, padding_mode: reflect, flip: random, cutout: 6, contrast: 0.15}
trainer: {max_epochs: 11, accumulate_grad_batches: 2, precision: 32-true}
""")
METRICS = {"test_accuracy": 0.81237, "test_accuracy_flip": 0.82341, "val_accuracy": 0.8, "test_loss": 0.61235}
FAMILIARITY = {"temperature": 0.4321, "lowest_confidence": 0.5678, "highest_energy": -2.345, "images": 1999}
FAMILIARITY["false_alarm_rate"] = 0.0475
SUMMARY = Summary(
    recipe="own-recipe", architecture="resnet9", parameters=6_573_130, seed=17, epochs=11,
    # As before the weights were stored in float16.
    metrics={"test_accuracy": 0.7, "val_loss": 0.54321},
    wall_seconds=3725.0, train_seconds=125.0, images_per_second=1234.4,
    data={"source": "parquet", "fingerprint": "f", "train": 48_001, "val": 1999, "test": 9998},
    environment={"processor": "Some CPU", "cores": 3, "python": "3.12.1", "versions": {"torch": "2.9"}},
    command=["cifar-train", "--data.root=/secret/place"],
    analysis={
        "test_accuracy": 0.71, "test_top3_accuracy": 0.9512, "expected_calibration_error": 0.1234,
        "expected_calibration_error_calibrated": 0.0123,
        "classes": [
            {"name": name, "recall": 0.5 + k / 100, "precision": 0.6 + k / 100, "f1": 0.5}
            for k, name in enumerate(CIFAR10.classes)
        ],
        "most_confused": [
            {"true": "airplane", "predicted": "automobile", "count": 1042, "share": 0.1},
            {"true": "automobile", "predicted": "airplane", "count": 0, "share": 0.0},
        ],
    },
)  # fmt: skip
CLASSES = ("cat", "dog", "frog", "ship")
NO_ERRORS = find_errors(np.eye(4), np.arange(4), class_names=CLASSES)
SCORES = [Faithfulness(name, "conv", (4, 4), np.array([0.25])) for name in ("random", "gradcam")]
#: Of four images: no frog is predicted, there is no ship, and a dog is predicted as ship.
ANALYSIS = Analysis(
    test=Evaluation(np.eye(4)[[0, 1, 3, 0]], [0, 1, 1, 2], class_names=CLASSES), flip_accuracy=0.75, validation=None,
    detector=None, human=None, shown=ErrorMaps(NO_ERRORS, *[np.zeros((0, 4, 4))] * 3), faithfulness=tuple(SCORES),
)  # fmt: skip
ALL_CORRECT = replace(ANALYSIS, test=Evaluation(np.eye(4), np.arange(4), class_names=CLASSES))


def page(analysis=ANALYSIS, config=None, **changed):
    summary = replace(SUMMARY, **changed)
    return render_page(analysis, summary, history=None, figures={}, config=config or {})


def test_analysis_has_none_in_place_of_undefined_numbers():
    found = ANALYSIS.to_dict()
    assert {entry.pop("name"): entry for entry in found["classes"]} == {
        "cat": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)},
        "dog": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
        "frog": {"precision": None, "recall": 0.0, "f1": 0.0},
        "ship": {"precision": 0.0, "recall": None, "f1": 0.0},
    }
    row = found["faithfulness"][1]
    assert (row["images"], row["mean"], row["standard_error"]) == (1, 0.25, None)


def test_summary_comes_back_without_metrics_that_are_not_finite(tmp_path):
    path = tmp_path / "report/summary.json"
    summary = replace(SUMMARY, analysis=ANALYSIS.to_dict())
    metrics = {**SUMMARY.metrics, "train_loss": math.nan, "val_accuracy": math.inf}
    write_summary(path, replace(summary, metrics=metrics))
    with pytest.raises(ValueError, match="JSON"):
        write_summary(path, replace(summary, train_seconds=math.nan))
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read_summary(path) == summary
    assert list(path.parent.iterdir()) == [path]
    # As earlier versions wrote it.
    former = path.read_text().replace('"precision": null', '"precision": NaN')
    assert "NaN" in former
    path.write_text(former)
    assert read_summary(path) == summary


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 99}', '{"format_version": 1}'])
def test_damaged_summary_is_named(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json"):
        read_summary(path)


def test_table_has_the_test_accuracies_below_each_other():
    metrics = {"test_accuracy_tta": 0.9234, "test_accuracy": 0.9, "test_accuracy_flip": 0.91}
    assert format_rows(format_metrics(metrics)).splitlines() == [
        "test accuracy                90.00 %",
        "  with TTA (flip)            91.00 %",
        "  with TTA (flip and shift)  92.34 %",
    ]


@pytest.mark.parametrize(
    ("changed", "wanted", "unwanted"),
    [
        # Accuracies are those of the analysis; the one with shifts, which it has not, is the run's.
        ({"metrics": {"test_accuracy": 0.9, "test_accuracy_tta": 0.9234}},
         "test accuracy 50.00 % test accuracy with TTA (flip) 75.00 % test accuracy with TTA (flip and shift) 92.34 %",
         "90.00 %"),
        ({}, "Never predicted, so without a precision: frog.", "TTA (flip and shift)"),
        ({}, "Without test images, so without a recall: ship.", "0 of 4"),
        ({"analysis": ALL_CORRECT}, "0 of 4 test images are misclassified.", "without a"),
        ({"environment": {}}, "training speed 1,234 images/s", "Machine and versions"),
        ({"environment": {"cores": 2, "versions": {"torch": "2"}}}, "Machine and versions cores 2 torch 2", "Python"),
        ({"wall_seconds": None}, "trained for 11 epochs.", "to the test result"),
        ({"wall_seconds": 75.0}, "to the test result it took 1:15 minutes.", "hours"),
    ],
)  # fmt: skip
def test_page_states_what_is_known_and_leaves_out_the_rest(changed, wanted, unwanted):
    shown = re.sub(r"<style.*?</style>|<[^>]+>", " ", page(**changed), flags=re.DOTALL)
    text = " ".join(shown.split())
    assert wanted in text
    assert not re.search(f"None|{re.escape(unwanted)}", text)


def test_page_escapes_names_and_configuration():
    test = replace(ANALYSIS.test, class_names=("<b>cat</b>", *CLASSES[1:]))
    config = {"model": {"architecture": "<script>"}}
    assert not re.search("<b>cat|<i>|<script>", page(replace(ANALYSIS, test=test), config, recipe="<i>"))


def header(*, classes=CIFAR10.classes, metrics=METRICS, recipe=RECIPE, fingerprint=CANONICAL_FINGERPRINT):
    spec = InputSpec(classes=classes, mean=CIFAR10.mean, std=CIFAR10.std, size=32)
    metrics = {**metrics, "data_fingerprint": fingerprint}
    return WeightsHeader("resnet9", {}, spec, recipe, metrics, "float16", 1)


def parts(card):
    """Front matter, and the rows of all tables by their first cell."""
    _, front, body = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("|")]
    cells = [[re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell).strip() for cell in row] for row in rows]
    return yaml.safe_load(front), {first: rest for first, *rest in cells}, body


def test_numbers_are_those_of_header_and_summary():
    card = model_card(header(metrics={**METRICS, "familiarity": FAMILIARITY}), SUMMARY)
    front, shown, body = parts(card)
    (model,) = front["model-index"]
    assert (model["name"], front["datasets"]) == ("own-recipe (resnet9)", ["uoft-cs/cifar10"])
    assert [metric["value"] for metric in model["results"][0]["metrics"]] == [0.81237, 0.82341]
    expected = {
        "test accuracy": ["81.24 %"],  # of the header, not of the summary
        "test accuracy with TTA (flip)": ["82.34 %"],
        "top-3 test accuracy": ["95.12 %"],
        "validation accuracy (1,999 images held out of training)": ["80.00 %"],
        "test loss (nats)": ["0.6123"],
        "validation loss (nats)": ["0.5432"],
        **{name: [f"{50 + k}.00 %", f"{60 + k}.00 %"] for k, name in enumerate(CIFAR10.classes)},
    }
    assert {name: shown[name] for name in expected} == expected
    for fact in (
        "6,573,130 parameters", "81.24 % of 9,998 test images", "equally many images) is 12.34 %",
        "temperature 0.432, fitted on 1,999 validation images, it is 1.23 %", "below 56.78 %", "above -2.345",
        "validation images is 4.75 %", "airplane predicted as automobile (1,042).",
        "lowest recall: airplane, 50.00 %", CANONICAL_FINGERPRINT, "Krizhevsky",
    ):  # fmt: skip
        assert fact in body, fact
    assert "secret" not in card


def test_training_is_described_setting_by_setting():
    _, shown, _ = parts(model_card(header(), SUMMARY))
    expected = {
        "recipe": "own-recipe",
        "seed": "17",
        "epochs": "11",
        "batch": "2 times 150 images, in micro-batches of 75",
        "optimizer": "SGD (momentum 0.875)",
        "peak learning rate": "0.0625",
        "schedule": "from 1/8 of the peak up to it in the first 25 % of the steps, then down to 1/64 of it at the end; "
        "cosine",
        "label smoothing": "0.15",
        "precision": "32-true",
        "progressive resizing": "20x20 pixels in the first 40 % of the steps",
        "augmentation": "shifts of up to 3 pixels (reflect padding), horizontal flips (random), "
        "contrast by up to 15 %, CutOut 6x6",
        "training time": "2:05, 1,234 images/s",
        "wall time, from start to test result": "1:02:05",
        "machine": "Some CPU, 3 cores",
        "versions": "Python 3.12.1, torch 2.9",
    }
    after = list(shown.items())[list(shown).index("recipe") :]
    assert {name: value for name, (value,) in after} == expected


@pytest.mark.parametrize(
    ("recipe", "setting", "value"),
    [
        ("model: {optimizer: null}", "optimizer", "Adam"),
        ("model: {schedule: {peak: 0, final_div: 64, anneal: cos}}", "schedule", "from the peak down to 1/64"),
        ("trainer: {gradient_clip_val: 0.5}", "gradient clipping", "0.5"),
        ("trainer: {max_epochs: 7}", "epochs", "7"),
        ("data: {augmentation: {flip: none, padding: 0}}", "augmentation", "none"),
    ],
)  # fmt: skip
def test_other_settings_are_described(recipe, setting, value):
    _, shown, _ = parts(model_card(header(recipe=yaml.safe_load(recipe))))
    assert shown[setting][0].startswith(value)


def test_unknown_facts_are_left_out():
    front, _, body = parts(model_card(header(metrics={}, recipe={})))
    assert not {"metrics", "model-index"} & front.keys()
    headings = re.findall(r"^#+ (.*)$", body, re.MULTILINE)
    assert headings == ["resnet9", "Use", "Data", "Limits", "Intended use", "Licence"]
    assert not re.search(r"None|nan|\{\}|%", body)
    facts = {"wall_seconds": "wall time", "train_seconds": "images/s", "analysis": "Per-class"}
    for field, fact in facts.items():
        assert fact in model_card(header(), SUMMARY)
        assert not re.search(f"{fact}|None", model_card(header(), replace(SUMMARY, **{field: None})))
    assert "machine" not in model_card(header(), replace(SUMMARY, environment={}))


@pytest.mark.parametrize(
    ("source", "dataset", "subject"),
    [("folder", "imagefolder", "3 classes"), ("synthetic", "synthetic", "synthetic shapes")],
)
def test_other_data_is_not_called_cifar10(source, dataset, subject):
    own = header(classes=("daisy", "rose", "tulip"), fingerprint="f" * 64)
    front, _, body = parts(model_card(own, replace(SUMMARY, data={"source": source}, analysis={})))
    assert front["model-index"][0]["results"][0]["dataset"]["type"] == dataset
    assert subject in body
    assert not re.search("cifar-?10", body, re.IGNORECASE)


def test_a_run_ends_with_its_card(trained_run):
    weights = load_weights(trained_run / "model.safetensors")
    found = read_summary(trained_run / "report" / "summary.json")
    written = (trained_run / "model_card.md").read_text(encoding="utf-8")
    assert written == model_card(weights, found)
