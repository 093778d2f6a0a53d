"""Calibrated probabilities, and the hint that a picture looks like none of its classes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifar_explain import apply_temperature, predict_logits, predict_probabilities
from cifar_models import load_weights
from cifar_space import Options, Service, example_paths
from cifar_space.artifacts.examples import built_in_examples, write_examples
from cifar_space.service.serialize import describe
from cifar_space.views.prediction_cards import cards, promise


def test_answers_follow_the_metrics(run_service: Service, tmp_path: Path) -> None:
    familiarity, model, spec = run_service.familiarity, run_service.weights.model, run_service.weights.spec
    noise = np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    found = set()
    for number, pixels in enumerate(noise):
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        (answer,) = run_service.answer([path], Options(top=10, explain=False))
        inputs = spec.normalize(pixels[None])
        assert answer.unfamiliar == bool(familiarity.is_unfamiliar(predict_logits(model, inputs))[0])
        expected = apply_temperature(predict_probabilities(model, inputs), familiarity.temperature)[0]
        for prediction in answer.predictions:
            assert prediction.calibrated == pytest.approx(expected[spec.classes.index(prediction.name)])
        found.add(answer.unfamiliar)
    for path in example_paths():
        found.add(run_service.answer([path], Options(explain=False))[0].unfamiliar)
    assert found == {True, False}


def test_the_card_and_the_api_say_it(run_service: Service, parse: type[Any]) -> None:
    (answer,) = run_service.answer(example_paths()[:1], Options(explain=False))
    strange, known = (dataclasses.replace(answer, unfamiliar=value) for value in (True, False))
    assert "Looks like none of its classes" in parse(cards([strange])).text
    assert "none of its classes" not in parse(cards([known])).text
    assert [one["unfamiliar"] for one in describe([strange, known], opacity=0.5)] == [True, False]
    assert "calibrated" in parse(cards([known])).text


def test_without_metrics_nothing_is_said(service: Service, parse: type[Any]) -> None:
    (answer,) = service.answer(example_paths()[:1], Options(explain=False))
    assert answer.unfamiliar is None
    assert "calibrated" not in parse(cards([answer])).text
    (described,) = describe([answer], opacity=0.5)
    assert described["unfamiliar"] is None
    assert {prediction["calibrated"] for prediction in described["predictions"]} == {None}
    assert promise(service.familiarity) == ""


def test_the_rate_of_false_alarms_is_stated(run_service: Service, parse: type[Any]) -> None:
    known = run_service.familiarity
    assert f"{known.false_alarm_rate:.1%}".replace("%", " %") in parse(promise(known)).text


def test_metrics_that_make_no_sense_are_refused(weights_file: Path) -> None:
    weights = load_weights(weights_file)
    for broken in ({}, "yes", {"temperature": -1.0}):
        with pytest.raises(ValueError, match="familiarity"):
            Service(dataclasses.replace(weights, metrics={"familiarity": broken}))


def test_examples_come_from_the_gallery(run_service: Service, tmp_path: Path) -> None:
    gallery = run_service.misclassified.gallery
    renamed = dataclasses.replace(gallery, class_names=("../../etc/x", *gallery.class_names[1:]))
    written = write_examples(renamed, tmp_path)
    assert [one.title for one in written] == list(renamed.examples)
    assert sorted(tmp_path.iterdir()) == sorted(one.path for one in written)
    for one, index in zip(written, renamed.examples.values(), strict=True):
        with Image.open(one.path) as image:
            assert np.array_equal(image, gallery.image(index))
        assert gallery.probabilities[index].argmax() == gallery.labels[index]


def test_the_built_in_examples_have_their_classes_names(service: Service) -> None:
    assert len(built_in_examples()) == 10
    assert {one.title for one in built_in_examples()} <= set(service.classes)
