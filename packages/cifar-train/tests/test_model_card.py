"""Model cards say what header and summary say, and nothing else."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_data import CANONICAL_FINGERPRINT
from cifar_models import CIFAR10, InputSpec, WeightsHeader, load_weights
from cifar_train import model_card
from cifar_train.report.card_training import training_rows
from cifar_train.report.markdown import one_line, plain, table
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
    """Front matter and body."""
    _, front, body = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


def tables(body):
    """The rows of all tables, cells as the reader sees them: split at unescaped bars, escapes taken away."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("|")]
    return [[re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell).strip() for cell in row] for row in rows]


def test_the_front_matter_is_what_the_hub_reads():
    front, _ = parts(model_card(header(), summary()))
    assert front["license"] == "mit"
    assert front["pipeline_tag"] == "image-classification"
    assert front["datasets"] == ["uoft-cs/cifar10"]
    assert front["metrics"] == ["accuracy"]
    (model,) = front["model-index"]
    assert model["name"] == "own-recipe (resnet9)"
    (result,) = model["results"]
    assert [metric["value"] for metric in result["metrics"]] == [0.81237, 0.82341]


def test_the_hubs_own_reader_reads_it():
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    written = model_card(header(), summary())
    card = hub.ModelCard(written)
    assert card.data.model_name == "own-recipe (resnet9)"
    assert card.data.library_name == "cifar-models"
    results = card.data.eval_results
    assert [(one.dataset_type, one.dataset_split, one.metric_value) for one in results] == [
        ("uoft-cs/cifar10", "test", 0.81237),
        ("uoft-cs/cifar10", "test", 0.82341),
    ]
    # Written by the reader it says the same.
    again = hub.ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()
    assert again.text.strip() == card.text.strip() == parts(written)[1].strip()


def test_the_numbers_are_those_of_header_and_summary():
    card = model_card(header(metrics={**METRICS, "familiarity": FAMILIARITY}), summary())
    _, body = parts(card)
    shown = dict(row for row in tables(body) if len(row) == 2)
    assert shown["test accuracy, one view"] == "81.24 %"  # the header's before the summary's
    assert shown["test accuracy, image and mirror image"] == "82.34 %"
    assert shown["right class among the first three, one view"] == "95.12 %"
    assert shown["validation accuracy (1,999 images held out of training)"] == "80.00 %"
    assert shown["test loss (nats)"] == "0.6123"
    assert shown["validation loss (nats)"] == "0.5432"
    classes = [row for row in tables(body) if len(row) == 3][2:]
    assert classes == [
        [name, f"{50 + number}.00 %", f"{60 + number}.00 %"] for number, name in enumerate(CIFAR10.classes)
    ]
    for said in (
        "6,573,130 parameters",
        "81.24 % of 9,998 test images",
        "12.34 % on average",
        "temperature 0.432, fitted on 1,999 validation images, it is 1.23 %",
        "below 56.78 %",
        "above -2.345",
        "4.75 % count as such",
        "airplane for automobile (1,042).",
        "airplane least often: 50.00 %",
        CANONICAL_FINGERPRINT,
        "Krizhevsky",
    ):
        assert said in body, said
    assert "secret" not in card


def test_how_it_was_trained():
    assert dict(training_rows(RECIPE, summary())) == {
        "recipe": "own-recipe",
        "seed": "17",
        "epochs": "11",
        "a step": "2 times 150 images, in micro-batches of 75",
        "optimizer": "SGD (momentum 0.875)",
        "peak learning rate": "0.0625",
        "schedule": "from 1/8 of the peak up to it in the first 25 % of the steps, then down to 1/64 of it at the end; "
        "cosine",
        "label smoothing": "0.15",
        "precision": "32-true",
        "training resolution": "20x20 pixels in the first 40 % of the steps, then full",
        "augmentation": "shifts of up to 3 pixels (reflect border), left-right flips (random), "
        "contrast by up to 15 %, CutOut 6x6",
        "training time": "2:05, 1,234 images/s",
        "wall time, from the command to the test result": "1:02:05",
        "machine": "Some CPU, 3 cores",
        "versions": "Python 3.12.1, torch 2.9",
    }


def test_what_is_not_known_is_left_out():
    front, body = parts(model_card(header(metrics={}, recipe={})))
    assert not {"metrics", "model-index"} & front.keys()
    assert re.findall(r"^#+ (.*)$", body, re.MULTILINE) == [
        "resnet9",
        "Use",
        "Data",
        "Limits",
        "Intended use",
        "Licence",
    ]
    assert not re.search(r"None|nan|\{\}", body)
    assert "%" not in body


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wall_seconds": None, "train_seconds": None, "images_per_second": None}, "wall time"),
        ({"analysis": None}, "Each class"),
        ({"environment": {}}, "machine"),
    ],
)
def test_a_part_that_is_not_known_is_left_out(changed, said):
    assert said in model_card(header(), summary())
    card = model_card(header(), summary(**changed))
    assert said not in card
    assert "None" not in card


def test_own_classes_are_not_called_cifar10():
    classes = ("daisy", "rose", "tulip")
    data = {"source": "folder", "fingerprint": "f", "train": 30, "val": 0, "test": 9}
    given = header(classes=classes, fingerprint="f" * 64)
    front, body = parts(model_card(given, summary(classes=classes, data=data)))
    assert not {"datasets", "license"} & front.keys()
    assert front["model-index"][0]["results"][0]["dataset"]["type"] == "imagefolder"
    assert not re.search("cifar-?10", body, re.IGNORECASE)
    assert "daisy, rose, tulip" in body
    assert "3 classes" in body


def test_drawn_shapes_are_not_called_cifar10():
    data = {"source": "synthetic", "fingerprint": "f", "train": 30, "val": 0, "test": 9}
    front, body = parts(model_card(header(fingerprint="f" * 64), summary(data=data)))
    assert "datasets" not in front
    assert "drawn shapes" in body


HOSTILE = (
    "a|b",
    "---",
    "```",
    "# heading",
    "<script>alert(1)</script>",
    "[link](http://x)",
    "&amp;",
    "back\\slash|",
    "*bold* _it_ `code`",
    "a@b.c http://d",
)


def test_hostile_names_break_neither_front_matter_nor_body():
    classes = HOSTILE
    recipe = {**RECIPE, "recipe": "x: [\n---\n# y"}
    card = model_card(header(classes=classes, recipe=recipe), summary(classes=classes))
    front, body = parts(card)
    assert front["model-index"][0]["name"] == "x: [ --- # y (resnet9)"
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.81237
    assert [row[0] for row in tables(body) if len(row) == 3][2:] == [one_line(name) for name in classes]
    assert len(re.findall(r"^## ", body, re.MULTILINE)) == 8
    assert len(re.findall(r"^```", body, re.MULTILINE)) == 4
    assert not re.search(r"(?<!\\)<", body)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_shown_as_it_is(text):
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    parser = markdown.MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(table(["head", "other"], [[plain(text), "end"]]))
    cells = [token for opened, token in pairwise(tokens) if opened.type == "td_open"]
    shown = ["".join(child.content for child in cell.children) for cell in cells]
    assert shown == [one_line(text), "end"]


def test_names_of_other_alphabets_stay():
    classes = ("猫", "Vögel", "кот")
    assert "猫, Vögel, кот" in model_card(header(classes=classes, fingerprint="f" * 64))


@pytest.mark.slow
def test_a_run_ends_with_its_card(tmp_path_factory, small_run):
    run = small_run(tmp_path_factory.mktemp("carded"))
    weights, found = load_weights(run / "model.safetensors"), read_summary(run / "report" / "summary.json")
    written = (run / "model_card.md").read_text(encoding="utf-8")
    assert written == model_card(weights, found)
    front, body = parts(written)
    value = front["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert value == pytest.approx(weights.metrics["test_accuracy"], abs=1e-6)
    assert value == pytest.approx(found.analysis["test_accuracy"], abs=1e-6)
    assert f"{100 * found.analysis['expected_calibration_error_calibrated']:.2f} %" in body

    # The lines that it tells to load it by do it.
    from PIL import Image

    code = re.search(r"```python\n(.*?)```", body, re.DOTALL)[1].replace(
        '"model.safetensors"', repr(str(run / "model.safetensors"))
    )
    names = {"image": Image.new("RGB", (40, 60)), "print": (said := []).append}
    exec(code, names)
    assert said[0] in weights.spec.classes
