"""Answers of the service against the model and cifar_explain."""

import dataclasses
import functools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_explain import METHODS, apply_temperature, explain, overlay, predict_logits, predict_probabilities
from cifar_models import load_weights
from cifar_space import Limits, Options, RejectedFile, RequestError, Service, example_paths, load_service
from cifar_space.service import engine, requests
from cifar_space.service.serialize import SCALE, describe, png_uri

pytestmark = pytest.mark.numeric

EXAMPLES = example_paths()
SHALLOW = Options(layers=["layer1"])


@pytest.fixture
def explained(monkeypatch):
    """Returns a function that lists the layers of each call of `explain` since it was last called."""
    monkeypatch.setattr(engine, "explain", counted := Mock(wraps=explain))

    def new_calls():
        calls = [call.kwargs["layers"] for call in counted.call_args_list]
        counted.reset_mock()
        return calls

    return new_calls


def assert_same(one, other):
    assert one.predictions == other.predictions
    assert all(np.array_equal(one.maps[layer], heat) for layer, heat in other.maps.items())


def inputs_of(service, path):
    with Image.open(path) as image:
        return service.weights.spec.preprocess(image)[None]


def test_predictions_are_the_models(service):
    answers = service.answer(EXAMPLES, Options(top=10, explain=False))
    for path, answer in zip(EXAMPLES, answers, strict=True):
        with torch.no_grad():
            expected = service.weights.model(inputs_of(service, path)).softmax(1)[0].tolist()
        got = {one.name: one.probability for one in answer.predictions}
        assert [got[name] for name in service.classes] == pytest.approx(expected, abs=1e-4)
        assert list(got.values()) == sorted(got.values(), reverse=True)
        assert (answer.name, answer.target, answer.maps) == (path.name, None, {})
        (first,) = service.answer([path], Options(top=4, explain=False))
        assert first.predictions == answer.predictions[:4]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["predicted", "frog"])
def test_maps_are_cifar_explains(service, method, target, assert_close):
    asked = {"layers": ["layer3", "layer1"], "method": method, "target": target}
    (answer,) = service.answer(EXAMPLES[:1], Options(**asked))
    inputs, names = inputs_of(service, EXAMPLES[0]), service.classes
    expected = explain(service.weights.model, inputs, class_names=names, **asked)
    assert list(answer.maps) == asked["layers"]
    assert_close(np.stack(list(answer.maps.values())), expected[0])
    assert answer.target == (answer.predictions[0].name if target == "predicted" else target)


def test_answers_grow_classes_first_then_maps_of_the_first_readable_images(service, tmp_path):
    (broken := tmp_path / "broken.png").write_bytes(b"no")
    shares, options = [], dataclasses.replace(SHALLOW, explained=2)
    steps = list(
        service.answers([broken, *EXAMPLES[:3]], options, progress=lambda share, _: shares.append(share))
    )
    assert {(type(step[0]), step[0].name) for step in steps} == {(RejectedFile, "broken.png")}
    answers = [step[1:] for step in steps]
    maps = [[len(one.maps) for one in step] for step in answers]
    assert maps == [[], [0], [0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert [one.awaited for one in answers[3]] == [("layer1",), ("layer1",), ()]
    assert [one.awaited for one in answers[-1]] == [(), (), ()]
    assert all(step[0].predictions == answers[-1][0].predictions for step in answers[1:])
    assert shares == [0, 0, 0, 0, 1 / 4, 2 / 4]


def test_only_what_is_new_is_computed_and_what_is_remembered_cannot_be_changed(service, explained):
    (answer,) = service.answer(EXAMPLES[:1], SHALLOW)
    other = next(name for name in service.classes if name != answer.target)
    assert explained() == [["layer1"]]
    for count, changes, calls in (
        (2, {}, [["layer1"]]),
        (2, {"top": 10}, []),
        (2, {"explain": False}, []),
        (1, {"layers": ["layer2", "layer1"]}, [["layer2"]]),
        (1, {"method": "layercam"}, [["layer1"]]),
        (1, {}, []),
        # The predicted class by its name is no other target.
        (1, {"target": answer.target}, []),
        (1, {"target": other}, [["layer1"]]),
    ):
        service.answer(EXAMPLES[:count], dataclasses.replace(SHALLOW, **changes))
        assert explained() == calls
    with pytest.raises(ValueError, match="read-only"):
        answer.maps["layer1"][0, 0] = 1


def test_memory_forgets_the_images_longest_unused(weights_file, explained, monkeypatch):
    monkeypatch.setattr(engine, "MEMORY_BYTES", 0)
    service = Service(load_weights(weights_file))
    for path in (EXAMPLES[0], EXAMPLES[1], EXAMPLES[0]):
        service.answer([path], SHALLOW)
        assert explained() == [["layer1"]]


def test_answers_do_not_depend_on_companions_memory_or_other_threads(service, weights_file):
    steps = service.answers(EXAMPLES, Options(explained=10))
    for _ in range(12):
        next(steps)
    (between,) = service.answer([EXAMPLES[5]], Options())
    *_, together = steps
    assert_same(between, together[5])
    fresh, paths = load_service(weights_file), EXAMPLES[::-1] * 2
    with ThreadPoolExecutor(len(paths)) as pool:
        alone = pool.map(lambda path: fresh.answer([path], Options())[0], paths)
    for one, other in zip(alone, together[::-1] * 2, strict=True):
        assert_same(one, other)


def test_maps_stop_when_the_time_is_over_and_those_that_are_there_stay(weights_file, monkeypatch):
    service = load_service(weights_file, limits=Limits(seconds=12))
    # Not `time.monotonic` itself, which servers in other threads call too.
    monkeypatch.setattr(requests, "time", Mock(monotonic=Mock(side_effect=range(1000))))
    steps = []
    with pytest.raises(RequestError, match="stopped after 12 seconds"):
        steps.extend(service.answers(EXAMPLES, Options(explained=10)))
    assert [bool(one.maps) for one in steps[-1]] == [True] * 2 + [False] * 8


def test_the_model_works_for_the_most_urgent_then_for_whoever_waits_longest_and_after_a_failure():
    thread, order, begin = engine.ModelThread(), [], threading.Event()
    with pytest.raises(ZeroDivisionError):
        thread.run(0, lambda: 1 / 0)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(thread.run, 0, begin.wait)
        for number, (name, rank) in enumerate([("maps", 1), ("more maps", 1), ("classes", 0)], start=1):
            pool.submit(thread.run, rank, functools.partial(order.append, name))
            while thread._work.qsize() < number:
                pass
        begin.set()
    assert order == ["classes", "maps", "more maps"]


def test_leaves_model_and_random_state_alone(service):
    model, state = service.weights.model.train(), torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    service.answer(EXAMPLES[:1], Options())
    service.warm_up()
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_out_of_distribution_follows_the_metrics(run_service, tmp_path):
    detector, model, paths = run_service.ood_detector, run_service.weights.model, [*EXAMPLES]
    for number, pixels in enumerate(np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), np.uint8)):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    found = set()
    for path in paths:
        (answer,) = run_service.answer([path], Options(top=10, explain=False))
        inputs = inputs_of(run_service, path)
        assert answer.ood == bool(detector.is_ood(predict_logits(model, inputs))[0])
        expected = apply_temperature(predict_probabilities(model, inputs), detector.temperature)[0]
        got = {one.name: one.calibrated for one in answer.predictions}
        assert [got[name] for name in run_service.classes] == pytest.approx(expected)
        found.add(answer.ood)
    assert found == {True, False}


@pytest.mark.parametrize("broken", [{}, "yes", {"temperature": -1.0}], ids=str)
def test_invalid_metrics_are_rejected(service, broken):
    with pytest.raises(ValueError, match="familiarity"):
        Service(dataclasses.replace(service.weights, metrics={"familiarity": broken}))


def test_description_is_plain_json(service):
    (one,) = service.answer(EXAMPLES[:1], dataclasses.replace(SHALLOW, top=2))
    for ood in (None, True, False):
        answer = dataclasses.replace(one, ood=ood)
        (described,) = json.loads(json.dumps(describe([answer], opacity=0.25), allow_nan=False))
        assert described == {
            "name": EXAMPLES[0].name,
            "predictions": [
                {"class": prediction.name, "probability": prediction.probability, "calibrated": None}
                for prediction in one.predictions
            ],
            "unfamiliar": ood,
            "explained_class": one.target,
            "maps": {"layer1": png_uri(overlay(one.seen, one.maps["layer1"], opacity=0.25, scale=SCALE))},
        }


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_opacity_is_checked(opacity):
    with pytest.raises(RequestError, match="opacity must be a number from 0"):
        describe([], opacity=opacity)
