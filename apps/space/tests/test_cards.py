import base64
import dataclasses
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_explain import overlay
from cifar_models import CIFAR10
from cifar_space import Answer, Options, Prediction, Refusal, RequestError, Service, example_paths
from cifar_space.service.serialize import SCALE, describe, png_uri
from cifar_space.views.fragments import notice, percent
from cifar_space.views.prediction_cards import cards, header

HOSTILE = "\"><img src=x onerror=alert(1)>'&lt;"


def pixels(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)


def answer(name: str = "a.png", **maps: np.ndarray) -> Answer:
    seen = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    predictions = (Prediction("cat", 0.75), Prediction("dog", 0.0004))
    return Answer(name, seen, predictions, "cat" if maps else None, maps)


def test_a_card_shows_the_answer(parse: type[Any]) -> None:
    heat = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    one = answer(layer1=heat, layer2=1 - heat)
    page = parse(cards([one]))
    assert "75.0 %" in page.text
    assert "< 0.1 %" in page.text
    assert "evidence for cat" in page.text
    assert [np.array_equal(pixels(image["src"]), one.seen) for image in page.images("photo")] == [True] * 3
    assert [image["alt"] for image in page.images("heat")] == [
        "Where layer1 sees evidence for cat",
        "Where layer2 sees evidence for cat",
    ]


def test_heat_over_photo_is_the_overlay_at_any_opacity(parse: type[Any]) -> None:
    # What the browser does with the two images, at the size that the page draws them at least.
    one = answer(layer1=np.random.default_rng(1).random((32, 32), dtype=np.float32))
    page = parse(cards([one]))
    photo = pixels(page.images("photo")[0]["src"]).repeat(4, axis=0).repeat(4, axis=1)
    heat = pixels(page.images("heat")[0]["src"])
    for opacity in (0.0, 0.3, 1.0):
        mixed = np.rint((1 - opacity) * photo + opacity * heat)
        assert np.array_equal(mixed, overlay(one.seen, one.maps["layer1"], opacity=opacity, scale=4))


@pytest.mark.parametrize(("peak", "told"), [(0.0, True), (0.003, True), (0.1, False), (1.0, False)])
def test_a_map_that_is_dark_all_over_says_why(parse: type[Any], peak: float, told: bool) -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[3, 4] = peak
    text = parse(cards([answer(layer1=heat, layer2=np.ones_like(heat))])).text
    assert ("layer1: no evidence" in text) is told
    assert "layer2: no evidence" not in text


def test_the_title_names_cifar10_only_for_its_classes(service: Service, parse: type[Any]) -> None:
    assert "CIFAR-10" in parse(header(service.weights)).text
    shapes = dataclasses.replace(service.weights.spec, classes=tuple("abcdefghij"))
    text = parse(header(dataclasses.replace(service.weights, spec=shapes))).text
    assert text.startswith("Classify and explain")
    assert "CIFAR-10" not in text
    assert "a, b, c, d, e, f, g, h, i and j" in text


def test_without_maps_there_is_the_input_only(parse: type[Any]) -> None:
    page = parse(cards([answer()]))
    assert len(page.images("photo")) == 1
    assert page.images("heat") == []
    assert "evidence" not in page.text


def test_what_visitors_name_is_escaped(parse: type[Any]) -> None:
    html = cards([answer(HOSTILE), Refusal(HOSTILE, HOSTILE)]) + notice(HOSTILE) + notice(HOSTILE, alert=True)
    page = parse(html)
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert {attributes["src"][:5] for tag, attributes in page.tags if tag == "img"} == {"data:"}
    assert page.text.count(HOSTILE) == 5


def test_bad_files_and_messages_are_announced(parse: type[Any]) -> None:
    roles = [attributes.get("role") for _, attributes in parse(cards([Refusal("a", "b")])).tags]
    assert roles.count("alert") == 1
    assert 'role="alert"' not in notice("hint")


@given(st.floats(0, 1))
def test_percent_is_honest(probability: float) -> None:
    text = percent(probability)
    number = float(re.sub("[<> %]", "", text))
    assert abs(number - 100 * probability) <= 0.1
    assert (text == "0.0 %") == (probability == 0)
    assert (text == "100.0 %") == (probability == 1)


def test_header_names_the_architecture_and_its_size(service: Service, parse: type[Any]) -> None:
    count = sum(tensor.numel() for tensor in service.weights.model.parameters())
    assert f"{service.weights.architecture} with {count:,} parameters" in parse(header(service.weights)).text


def test_header_tells_the_measured_accuracy_if_there_is_one(service: Service, parse: type[Any]) -> None:
    text = parse(header(service.weights)).text
    assert "87.5 %" in text
    assert "ship and truck" in text
    for metrics in ({}, {"test_accuracy": "high"}, {"test_accuracy": 2.0}, {"test_accuracy": float("nan")}):
        object.__setattr__(service.weights, "metrics", metrics)
        assert "%" not in parse(header(service.weights)).text


@pytest.mark.parametrize(
    ("classes", "words"), [(2, "two things: kind 0 and kind 1"), (11, "11 things: kind 0, ")]
)
def test_header_counts_the_classes(service: Service, parse: type[Any], classes: int, words: str) -> None:
    names = tuple(f"kind {number}" for number in range(classes))
    weights = dataclasses.replace(service.weights, spec=dataclasses.replace(CIFAR10, classes=names))
    text = parse(header(weights)).text
    assert f"knows {words}" in text
    assert "CIFAR-10" not in text


def test_description_is_plain_json(service: Service) -> None:
    outcomes = service.answer(example_paths()[:1], Options(top=2, layers=["layer1"]))
    (described,) = json.loads(json.dumps(describe(outcomes, opacity=0.25), allow_nan=False))
    (one,) = outcomes
    assert described["predictions"] == [
        {"class": prediction.name, "probability": prediction.probability, "calibrated": None}
        for prediction in one.predictions
    ]
    assert described["explained_class"] == one.target
    expected = overlay(one.seen, one.maps["layer1"], opacity=0.25, scale=SCALE)
    assert np.array_equal(pixels(described["maps"]["layer1"]), expected)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_opacity_is_checked(opacity: object) -> None:
    with pytest.raises(RequestError, match="opacity must be a number from 0"):
        describe([], opacity=opacity)


def test_png_is_lossless() -> None:
    seen = answer().seen
    assert np.array_equal(pixels(png_uri(seen)), seen)
