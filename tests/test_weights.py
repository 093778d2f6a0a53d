"""The weights in weights/: each file is there, loads, and is what its card says."""

import re
from pathlib import Path

import pytest
import yaml

from cifar_models import load_weights

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "weights"


def listed():
    """Paths of card and file, by the row's name in the table of weights/README.md."""
    row = re.compile(r"^\| \[([\w-]+)\]\(([^)]+)\) \| \[[^\]]+\]\(([^)]+)\) \|", re.MULTILINE)
    found = row.findall((FOLDER / "README.md").read_text(encoding="utf-8"))
    return {name: (FOLDER / card, (FOLDER / file).resolve()) for name, card, file in found}


LISTED = listed()
#: Accuracies of a header, by their name in the card.
ACCURACIES = {
    "test_accuracy": "test accuracy",
    "test_accuracy_flip": "test accuracy with TTA (flip)",
    "test_accuracy_tta": "test accuracy with TTA (flip and shift)",
}


@pytest.fixture(scope="module", params=LISTED)
def shipped(request):
    """The card's front matter and body, and the loaded weights."""
    card, file = LISTED[request.param]
    _, front, body = re.split(r"^---$", card.read_text(encoding="utf-8"), maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body, load_weights(file), file


def test_every_file_and_card_is_listed():
    assert LISTED
    cards = {path for path in FOLDER.glob("*.md") if path.name != "README.md"}
    assert {card for card, _ in LISTED.values()} == cards
    assert set(FOLDER.glob("*.safetensors")) <= {file for _, file in LISTED.values()}


def test_the_card_says_what_the_file_says(shipped):
    front, body, weights, file = shipped
    (model,) = front["model-index"]
    (result,) = model["results"]
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    table = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", body, re.MULTILINE))
    told = {name for name in ACCURACIES if name in weights.metrics}
    assert "test_accuracy" in told
    assert set(values) == {ACCURACIES[name] for name in told}
    for name in told:
        assert values[ACCURACIES[name]] == pytest.approx(weights.metrics[name], abs=1e-6)
        assert table[ACCURACIES[name]] == f"{100 * weights.metrics[name]:.2f} %"
    parameters = sum(one.numel() for one in weights.model.parameters())
    assert re.search(r"([\d,]+) parameters", body)[1] == f"{parameters:,}"
    assert f"stored in {weights.dtype}" in body
    assert table["recipe"] == weights.recipe["recipe"]
    assert table["seed"] == str(weights.recipe["seed_everything"])
    assert weights.metrics["data_fingerprint"] in body
    temperature = float(re.search(r"temperature ([\d.]+)", body)[1])
    assert temperature == pytest.approx(weights.metrics["familiarity"]["temperature"], abs=0.0005)
    assert f'load_weights("{file.name}")' in body


def test_the_index_names_what_the_files_are():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, (_, file) in LISTED.items():
        assert re.search(rf"^\| \[{name}\].*\| {load_weights(file).dtype} \|$", text, re.MULTILINE)
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (FOLDER / link).exists(), link


@pytest.mark.data
@pytest.mark.slow
def test_the_test_accuracy_measured_again(shipped):
    from cifar_data import open_dataset
    from cifar_explain import predict_logits
    from cifar_models import fold_batch_norms

    _, _, weights, _ = shipped
    dataset = open_dataset()
    assert dataset.fingerprint == weights.metrics["data_fingerprint"]
    test = dataset.test
    logits = predict_logits(fold_batch_norms(weights.model), test.images, preprocess=weights.spec.normalize)
    accuracy = (logits.argmax(axis=1) == test.labels).mean()
    assert accuracy == pytest.approx(weights.metrics["test_accuracy"], abs=0.0005)
