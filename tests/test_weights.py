"""The weights in weights/: each file is there, loads, and is what its card says."""

import re
from pathlib import Path

import pytest
import yaml

from cifar_data import open_dataset
from cifar_explain import predict_logits
from cifar_models import fuse_conv_bn, load_weights
from cifar_models.weights.card import TEST_ACCURACIES

FOLDER = Path(__file__).resolve().parent.parent / "weights"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
#: By name: paths of card and file, and the stored number format.
LISTED = {
    name: (FOLDER / card, (FOLDER / file).resolve(), dtype)
    for name, card, file, dtype in re.findall(
        r"^\| \[([\w-]+)\]\(([^)]+)\) \| \[[^\]]+\]\(([^)]+)\) \| (\w+) \|", INDEX, re.MULTILINE
    )
}


@pytest.mark.parametrize("name", LISTED)
def test_card_agrees_with_the_file(name):
    path, file, dtype = LISTED[name]
    card, weights = path.read_text(encoding="utf-8"), load_weights(file)
    _, front, body = card.split("---\n", 2)
    (result,) = yaml.safe_load(front)["model-index"][0]["results"]
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    table = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", body, re.MULTILINE))
    found = TEST_ACCURACIES.keys() & weights.metrics.keys()
    measured = {TEST_ACCURACIES[key]: weights.metrics[key] for key in found}
    assert values == pytest.approx(measured, abs=1e-6)
    for label, accuracy in measured.items():
        assert table[label] == f"{100 * accuracy:.2f} %"
    assert f"with {sum(p.numel() for p in weights.model.parameters()):,} parameters" in body
    assert weights.dtype == dtype
    assert f"stored in {dtype}" in body
    assert table["recipe"] == weights.recipe["recipe"]
    assert table["seed"] == str(weights.recipe["seed_everything"])
    assert weights.metrics["data_fingerprint"] in body
    temperature = float(re.search(r"temperature ([\d.]+)", body)[1])
    assert temperature == pytest.approx(weights.metrics["familiarity"]["temperature"], abs=0.0005)
    assert f'load_weights("{file.name}")' in body


def test_index_lists_every_file_and_card():
    cards, files, _ = zip(*LISTED.values(), strict=True)
    assert {path for path in FOLDER.glob("*.md") if path.name != "README.md"} == set(cards)
    assert set(FOLDER.glob("*.safetensors")) <= set(files)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", LISTED)
def test_accuracy_is_measured_again(name):
    weights, dataset = load_weights(LISTED[name][1]), open_dataset()
    assert dataset.fingerprint == weights.metrics["data_fingerprint"]
    model, test = fuse_conv_bn(weights.model), dataset.test
    predictions = predict_logits(model, test.images, preprocess=weights.spec.normalize).argmax(axis=1)
    # Another processor rounds differently, which may flip a near tie.
    assert (predictions == test.labels).mean() == pytest.approx(
        weights.metrics["test_accuracy"], abs=0.000301
    )
