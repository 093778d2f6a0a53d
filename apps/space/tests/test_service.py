"""Answers of the service against the model and cifar_explain."""

import dataclasses
import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cifar_space.service.engine
import cifar_space.service.requests
from cifar_explain import METHODS, apply_temperature, explain, overlay, predict_logits, predict_probabilities
from cifar_models import load_weights
from cifar_space import (
    Answer,
    Limits,
    Options,
    RejectedFile,
    RequestError,
    Service,
    example_paths,
    load_service,
)
from cifar_space.service.serialize import SCALE, describe, png_uri

pytestmark = pytest.mark.numeric

EXAMPLES = example_paths()


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The layers of each call of `explain` that the service makes."""
    calls: list[list[str]] = []

    def counted(*args: object, layers: list[str], **kwargs: object) -> object:
        calls.append(layers)
        return explain(*args, layers=layers, **kwargs)

    monkeypatch.setattr(cifar_space.service.engine, "explain", counted)
    return calls


def same(one: Answer, other: Answer) -> None:
    assert one.predictions == other.predictions
    assert all(np.array_equal(one.maps[layer], heat) for layer, heat in other.maps.items())


def oracle_inputs(service: Service, path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return service.weights.spec.preprocess(image)[None]


def test_predictions_are_the_models(service: Service) -> None:
    answers = service.answer(EXAMPLES, Options(top=10, explain=False))
    for path, answer in zip(EXAMPLES, answers, strict=True):
        with torch.no_grad():
            expected = service.weights.model(oracle_inputs(service, path)).softmax(1)[0]
        assert answer.name == path.name
        got = [prediction.probability for prediction in answer.predictions]
        assert got == sorted(got, reverse=True)
        assert {prediction.name for prediction in answer.predictions} == set(service.classes)
        for prediction in answer.predictions:
            assert prediction.probability == pytest.approx(
                float(expected[service.classes.index(prediction.name)]), abs=1e-4
            )
        assert (answer.target, answer.maps) == (None, {})
        (first,) = service.answer([path], Options(top=4, explain=False))
        assert first.predictions == answer.predictions[:4]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["predicted", "frog"])
def test_maps_are_cifar_explains(
    service: Service, method: str, target: str, assert_close: Callable[..., None]
) -> None:
    layers = ["layer3", "layer1"]
    (answer,) = service.answer(EXAMPLES[:1], Options(layers=layers, method=method, target=target))
    inputs, names = oracle_inputs(service, EXAMPLES[0]), service.classes
    expected = explain(
        service.weights.model, inputs, layers=layers, method=method, target=target, class_names=names
    )
    assert list(answer.maps) == layers
    assert_close(np.stack(list(answer.maps.values())), expected[0])
    assert answer.target == (answer.predictions[0].name if target == "predicted" else target)


def test_the_first_readable_pictures_are_explained(service: Service, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    outcomes = service.answer([broken, *EXAMPLES[:3]], Options(explained=2))
    assert isinstance(outcomes[0], RejectedFile)
    assert outcomes[0].name == "broken.png"
    assert [len(outcome.maps) for outcome in outcomes[1:]] == [3, 3, 0]


def test_only_what_is_new_is_computed(service: Service, explained: list[list[str]]) -> None:
    service.answer(EXAMPLES[:2], Options(layers=["layer1"]))
    assert explained == [["layer1"]] * 2
    service.answer(EXAMPLES[:2], Options(layers=["layer1"], top=10))
    service.answer(EXAMPLES[:2], Options(explain=False))
    assert len(explained) == 2
    service.answer(EXAMPLES[:1], Options(layers=["layer2", "layer1"]))
    assert explained[2:] == [["layer2"]]
    service.answer(EXAMPLES[:1], Options(layers=["layer1"], method="layercam"))
    (answer,) = service.answer(EXAMPLES[:1], Options(layers=["layer1"]))
    # The predicted class by its name is no other target.
    service.answer(EXAMPLES[:1], Options(layers=["layer1"], target=answer.target))
    other = next(name for name in service.classes if name != answer.target)
    service.answer(EXAMPLES[:1], Options(layers=["layer1"], target=other))
    assert explained[3:] == [["layer1"], ["layer1"]]


def test_memory_forgets_the_images_longest_unused(
    weights_file: Path, explained: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_space.service.engine, "MEMORY_BYTES", 0)
    service = Service(load_weights(weights_file))
    options = Options(layers=["layer1"])
    for path, calls in ((EXAMPLES[0], 1), (EXAMPLES[1], 2), (EXAMPLES[0], 3)):
        service.answer([path], options)
        assert len(explained) == calls


def test_remembered_maps_cannot_be_changed(service: Service) -> None:
    (answer,) = service.answer(EXAMPLES[:1], Options(layers=["layer1"]))
    with pytest.raises(ValueError, match="read-only"):
        answer.maps["layer1"][0, 0] = 1


def test_answers_do_not_depend_on_companions_or_memory(service: Service, weights_file: Path) -> None:
    together = service.answer(EXAMPLES, Options(explained=10))
    alone = load_service(weights_file)
    for path, answer in zip(reversed(EXAMPLES), reversed(together), strict=True):
        same(alone.answer([path], Options())[0], answer)


def test_threads_get_their_own_answers(service: Service) -> None:
    fresh, paths = Service(service.weights), EXAMPLES * 2
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = pool.map(lambda path: fresh.answer([path], Options())[0], paths)
    for path, answer in zip(paths, answers, strict=True):
        same(answer, service.answer([path], Options())[0])


@pytest.mark.parametrize("count", [0, 17, 200])
def test_none_and_too_many_images_are_rejected(service: Service, count: int) -> None:
    with pytest.raises(RequestError, match=f"{count} images were given; 1 to 16"):
        service.answer([EXAMPLES[0]] * count, Options())


def test_options_are_checked_before_any_file_is_opened(service: Service, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="top"):
        service.answer([tmp_path / "gone.png"], Options(top=11))


def test_maps_stop_when_the_time_is_over_and_those_that_are_there_stay(weights_file, monkeypatch):
    service = load_service(weights_file, limits=Limits(seconds=12))
    ticks = iter(range(1000))
    monkeypatch.setattr(cifar_space.service.requests.time, "monotonic", lambda: next(ticks))
    steps = []
    with pytest.raises(RequestError, match="stopped after 12 seconds"):
        steps.extend(service.answers(EXAMPLES, Options(explained=10)))
    assert [bool(one.maps) for one in steps[-1]] == [True] * 2 + [False] * 8


def test_answers_grow_classes_first_then_maps(service):
    *earlier, last = service.answers(EXAMPLES[:3], Options(layers=["layer1"], explained=2))
    assert [[len(one.maps) for one in step] for step in earlier] == [[0], [0, 0], [0, 0, 0], [1, 0, 0]]
    assert [one.awaited for one in earlier[2]] == [("layer1",), ("layer1",), ()]
    assert all(step[0].predictions == last[0].predictions for step in earlier)
    assert [one.awaited for one in last] == [(), (), ()]


def test_a_long_request_lets_others_in(service):
    long = service.answers(EXAMPLES, Options(explained=10))
    for _ in range(12):
        next(long)
    (other,) = service.answer([EXAMPLES[5]], Options())
    *_, last = long
    assert all(np.array_equal(other.maps[layer], last[5].maps[layer]) for layer in service.layers)


def test_the_model_works_for_the_most_urgent_then_for_whoever_waits_longest():
    thread, order, begin = cifar_space.service.engine.ModelThread(), [], threading.Event()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(thread.run, 0, begin.wait)
        for number, (name, rank) in enumerate([("maps", 1), ("more maps", 1), ("classes", 0)], start=1):
            pool.submit(thread.run, rank, functools.partial(order.append, name))
            while thread._work.qsize() < number:
                pass
        begin.set()
    assert order == ["classes", "maps", "more maps"]


def test_a_failure_of_the_model_reaches_its_caller_alone():
    thread = cifar_space.service.engine.ModelThread()
    with pytest.raises(ZeroDivisionError):
        thread.run(0, lambda: 1 / 0)
    assert thread.run(0, lambda: 1) == 1


def test_progress_rises_to_the_end(service):
    shares = []
    list(service.answers(EXAMPLES[:3], Options(), progress=lambda share, _: shares.append(share)))
    assert shares == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3])


def test_leaves_model_and_random_state_alone(service: Service) -> None:
    model = service.weights.model.train()
    state = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    service.answer(EXAMPLES[:1], Options())
    service.warm_up()
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_out_of_distribution_follows_the_metrics(run_service: Service, tmp_path: Path) -> None:
    ood_detector, model, spec = run_service.ood_detector, run_service.weights.model, run_service.weights.spec
    noise = np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    found = set()
    for number, pixels in enumerate(noise):
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        (answer,) = run_service.answer([path], Options(top=10, explain=False))
        inputs = spec.normalize(pixels[None])
        assert answer.ood == bool(ood_detector.is_ood(predict_logits(model, inputs))[0])
        expected = apply_temperature(predict_probabilities(model, inputs), ood_detector.temperature)[0]
        for prediction in answer.predictions:
            assert prediction.calibrated == pytest.approx(expected[spec.classes.index(prediction.name)])
        found.add(answer.ood)
    found |= {run_service.answer([path], Options(explain=False))[0].ood for path in EXAMPLES}
    assert found == {True, False}


def test_invalid_metrics_are_rejected(weights_file: Path) -> None:
    weights = load_weights(weights_file)
    for broken in ({}, "yes", {"temperature": -1.0}):
        with pytest.raises(ValueError, match="familiarity"):
            Service(dataclasses.replace(weights, metrics={"familiarity": broken}))


def test_description_is_plain_json(service: Service, run_service: Service) -> None:
    (one,) = service.answer(EXAMPLES[:1], Options(top=2, layers=["layer1"]))
    (described,) = json.loads(json.dumps(describe([one], opacity=0.25), allow_nan=False))
    assert described["predictions"] == [
        {"class": prediction.name, "probability": prediction.probability, "calibrated": None}
        for prediction in one.predictions
    ]
    assert (described["explained_class"], described["unfamiliar"]) == (one.target, None)
    expected = overlay(one.seen, one.maps["layer1"], opacity=0.25, scale=SCALE)
    assert described["maps"] == {"layer1": png_uri(expected)}
    for ood in (True, False):
        (described,) = describe([dataclasses.replace(one, ood=ood)], opacity=0.5)
        assert described["unfamiliar"] is ood


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_opacity_is_checked(opacity: object) -> None:
    with pytest.raises(RequestError, match="opacity must be a number from 0"):
        describe([], opacity=opacity)
