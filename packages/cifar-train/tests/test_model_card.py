"""Model cards: the facts of header and run summary, and nothing else."""

import re
from dataclasses import replace

import pytest
import yaml

from cifar_data import CANONICAL_FINGERPRINT
from cifar_models import CIFAR10, InputSpec, WeightsHeader, load_weights
from cifar_train import model_card
from cifar_train.runs.summary import Summary, read_summary

FAMILIARITY = {
    "temperature": 0.4321,
    "lowest_confidence": 0.5678,
    "highest_energy": -2.345,
    "false_alarm_rate": 0.0475,
    "images": 1999,
}
RECIPE = {
    "recipe": "own-recipe",
    "seed_everything": 17,
    "model": {
        "lr": 0.0625,
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 9.0, "momentum": 0.875}},
        "schedule": {"peak": 0.25, "div": 8.0, "final_div": 64.0, "anneal": "cos"},
        "low_resolution": {"until": 0.4, "size": 20},
        "label_smoothing": 0.15,
        "micro_batch": 75,
    },
    "data": {
        "batch_size": 150,
        "val_size": 1999,
        "split_seed": 23,
        "augmentation": {
            "padding": 3,
            "padding_mode": "reflect",
            "flip": "random",
            "cutout": 6,
            "contrast": 0.15,
        },
    },
    "trainer": {"max_epochs": 11, "accumulate_grad_batches": 2, "precision": "32-true"},
}
METRICS = {"test_accuracy": 0.81237, "test_accuracy_flip": 0.82341, "val_accuracy": 0.8, "test_loss": 0.61235}


def header(*, classes=CIFAR10.classes, metrics=METRICS, recipe=RECIPE, fingerprint=CANONICAL_FINGERPRINT):
    spec = InputSpec(classes=classes, mean=CIFAR10.mean, std=CIFAR10.std, size=32)
    metrics = {**metrics, "data_fingerprint": fingerprint}
    return WeightsHeader("resnet9", {}, spec, dict(recipe), metrics, "float16", 1)


def summary(*, classes=CIFAR10.classes, **changed):
    found = Summary(
        recipe="own-recipe",
        architecture="resnet9",
        parameters=6_573_130,
        seed=17,
        epochs=11,
        # As before the weights were stored in float16.
        metrics={"test_accuracy": 0.7, "val_loss": 0.54321},
        wall_seconds=3725.0,
        train_seconds=125.0,
        images_per_second=1234.4,
        data={"source": "parquet", "fingerprint": "f", "train": 48_001, "val": 1999, "test": 9998},
        environment={"processor": "Some CPU", "cores": 3, "python": "3.12.1", "versions": {"torch": "2.9"}},
        command=["cifar-train", "--data.root=/secret/place"],
        analysis={
            "test_accuracy": 0.71,
            "test_top3_accuracy": 0.9512,
            "expected_calibration_error": 0.1234,
            "expected_calibration_error_calibrated": 0.0123,
            "classes": [
                {"name": name, "recall": 0.5 + number / 100, "precision": 0.6 + number / 100, "f1": 0.5}
                for number, name in enumerate(classes)
            ],
            "most_confused": [
                {"true": classes[0], "predicted": classes[1], "count": 1042, "share": 0.1},
                {"true": classes[1], "predicted": classes[0], "count": 0, "share": 0.0},
            ],
        },
    )
    return replace(found, **changed)


def parts(card):
    """Front matter, and the rows of all tables by their first cell."""
    _, front, body = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("|")]
    cells = [[re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell).strip() for cell in row] for row in rows]
    return yaml.safe_load(front), {first: rest for first, *rest in cells}, body


def test_numbers_are_those_of_header_and_summary():
    card = model_card(header(metrics={**METRICS, "familiarity": FAMILIARITY}), summary())
    front, shown, body = parts(card)
    (model,) = front["model-index"]
    assert (model["name"], front["datasets"]) == ("own-recipe (resnet9)", ["uoft-cs/cifar10"])
    assert [metric["value"] for metric in model["results"][0]["metrics"]] == [0.81237, 0.82341]
    assert shown["test accuracy"] == ["81.24 %"]  # of the header, not of the summary
    assert shown["test accuracy with TTA (flip)"] == ["82.34 %"]
    assert shown["top-3 test accuracy"] == ["95.12 %"]
    assert shown["validation accuracy (1,999 images held out of training)"] == ["80.00 %"]
    assert shown["test loss (nats)"] == ["0.6123"]
    assert shown["validation loss (nats)"] == ["0.5432"]
    for number, name in enumerate(CIFAR10.classes):
        assert shown[name] == [f"{50 + number}.00 %", f"{60 + number}.00 %"]
    for fact in (
        "6,573,130 parameters",
        "81.24 % of 9,998 test images",
        "equally many images) is 12.34 %",
        "temperature 0.432, fitted on 1,999 validation images, it is 1.23 %",
        "below 56.78 %",
        "above -2.345",
        "validation images is 4.75 %",
        "airplane predicted as automobile (1,042).",
        "lowest recall: airplane, 50.00 %",
        CANONICAL_FINGERPRINT,
        "Krizhevsky",
    ):
        assert fact in body, fact
    assert "secret" not in card


def test_training_is_described_setting_by_setting():
    _, shown, _ = parts(model_card(header(), summary(steps=None)))
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
        ({"model": {"optimizer": None}}, "optimizer", "Adam"),
        (
            {"model": {"schedule": {**RECIPE["model"]["schedule"], "peak": 0}}},
            "schedule",
            "from the peak down to 1/64",
        ),
        ({"trainer": {"gradient_clip_val": 0.5}}, "gradient clipping", "0.5"),
        ({"trainer": {"max_epochs": 7}}, "epochs", "7"),
        ({"data": {"augmentation": {"flip": "none", "padding": 0}}}, "augmentation", "none"),
    ],
)
def test_other_settings_are_described(recipe, setting, value):
    _, shown, _ = parts(model_card(header(recipe=recipe)))
    assert shown[setting][0].startswith(value)


def test_unknown_facts_are_left_out():
    front, _, body = parts(model_card(header(metrics={}, recipe={})))
    assert not {"metrics", "model-index"} & front.keys()
    headings = re.findall(r"^#+ (.*)$", body, re.MULTILINE)
    assert headings == ["resnet9", "Use", "Data", "Limits", "Intended use", "Licence"]
    assert not re.search(r"None|nan|\{\}|%", body)


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        ({"wall_seconds": None, "train_seconds": None, "images_per_second": None}, "wall time"),
        ({"analysis": None}, "Per-class"),
        ({"environment": {}}, "machine"),
    ],
)
def test_an_unknown_part_of_the_summary_is_left_out(changed, fact):
    assert fact in model_card(header(), summary())
    card = model_card(header(), summary(**changed))
    assert fact not in card
    assert "None" not in card


@pytest.mark.parametrize(
    ("source", "dataset", "subject"),
    [("folder", "imagefolder", "3 classes"), ("synthetic", "synthetic", "synthetic shapes")],
)
def test_other_data_is_not_called_cifar10(source, dataset, subject):
    classes = ("daisy", "rose", "tulip")
    data = {"source": source, "fingerprint": "f", "train": 30, "val": 0, "test": 9}
    given = header(classes=classes, fingerprint="f" * 64)
    front, _, body = parts(model_card(given, summary(classes=classes, data=data)))
    assert "datasets" not in front
    assert front.get("license") == {"folder": None, "synthetic": "mit"}[source]
    assert front["model-index"][0]["results"][0]["dataset"]["type"] == dataset
    assert not re.search("cifar-?10", body, re.IGNORECASE)
    assert "daisy, rose, tulip" in body
    assert subject in body


def test_a_run_ends_with_its_card(trained_run):
    weights = load_weights(trained_run / "model.safetensors")
    found = read_summary(trained_run / "report" / "summary.json")
    written = (trained_run / "model_card.md").read_text(encoding="utf-8")
    assert written == model_card(weights, found)
    front, _, body = parts(written)
    value = front["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert value == pytest.approx(weights.metrics["test_accuracy"], abs=1e-6)
    assert value == pytest.approx(found.analysis["test_accuracy"], abs=1e-6)
    assert f"{100 * found.analysis['expected_calibration_error_calibrated']:.2f} %" in body
