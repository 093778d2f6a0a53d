"""A real server and real clients, on this machine only."""

import contextlib
import dataclasses
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import cifar_space.service.engine
from cifar_explain import explain, make_gallery
from cifar_space import MisclassifiedOptions, Options, Service, example_paths, load_service
from cifar_space.service.serialize import describe, describe_misclassified
from cifar_space.ui.controls import MODEL

EXAMPLES = [str(path) for path in example_paths()]


def connected(url):
    return contextlib.closing(Client(url, verbose=False, analytics_enabled=False, download_files=False))


@pytest.fixture(scope="module")
def client(server):
    with connected(server.url) as client:
        yield client


def classify(client, *paths, **options):
    return client.predict([handle_file(path) for path in paths], **options, api_name="/classify")


def parts_of(page):
    """The parts of a page by their ids, or else by their labels."""
    return {part.elem_id or getattr(part, "label", None): part for part in page.blocks.values()}


@pytest.mark.parametrize("host", ["::1", "[::]"])
def test_serves_at_addresses_of_ipv6(run_service, serve, host):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve(run_service, host=host) as page:
        assert f"[{host.strip('[]')}]" in page.local_url
        with urllib.request.urlopen(page.local_url, timeout=60) as response:
            assert response.status == 200


def test_classify_answers_as_the_service_does(client, run_service, tmp_path):
    (broken := tmp_path / "<b>broken.png").write_bytes(b"not a readable image")
    options = {"top": 10, "method": "layercam", "target": "cat", "layers": ["layer2"]}
    bad, *good = classify(client, broken, *EXAMPLES[:2], **options, opacity=0.25)
    assert "not a readable image" in bad["error"]
    assert good == describe(run_service.answer(EXAMPLES[:2], Options(**options)), opacity=0.25)
    # The page's defaults are those of `Options`.
    assert classify(client, EXAMPLES[0]) == describe(run_service.answer(EXAMPLES[:1], Options()), opacity=0.5)


def test_misclassified_answers_as_the_service_does(client, run_service):
    names, errors = run_service.classes, run_service.misclassified.errors
    for changes in (
        {},
        {"count": 30, "page": 2, "order": "loss"},
        {"order": "chance", "seed": 7, "true": names[errors.labels[0]], "explain": True,
         "layer": "layer1", "method": "layercam"},
        {"predicted": names[errors.predictions[0]], "count": 3},
    ):  # fmt: skip
        got = client.predict(**changes, opacity=0.25, api_name="/misclassified")
        page = run_service.misclassified_page(MisclassifiedOptions(**changes))
        assert got == describe_misclassified(page, opacity=0.25)
        assert got["images"]


def test_endpoints_have_their_documented_parameters(client, run_service):
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {name: [one["parameter_name"] for one in told["parameters"]] for name, told in offered.items()}
    assert names == {
        "/classify": ["images", "top", "explain", "layers", "method", "target", "explained", "opacity"],
        "/misclassified": [
            "count", "page", "order", "seed", "true", "predicted", "explain", "layer", "method", "opacity"
        ],
        "/model": [],
    }  # fmt: skip
    assert client.predict(api_name="/model") == run_service.facts.to_dict()


@pytest.mark.parametrize(("classes", "default", "most"), [(2, 2, 2), (12, 3, 10)])
def test_answers_name_at_most_ten_classes(serve, run_service, classes, default, most):
    names = tuple(f"kind {number}" for number in range(classes))
    spec = dataclasses.replace(run_service.weights.spec, classes=names)
    with serve(Service(dataclasses.replace(run_service.weights, spec=spec))) as page:
        top = parts_of(page)["Top classes"]
    assert (top.value, top.maximum) == (default, most)


@pytest.mark.parametrize("with_gallery", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_examples_are_the_gallerys_or_for_models_of_cifar10_the_built_in_ones(
    run_service, serve, own, with_gallery
):
    weights, gallery = run_service.weights, run_service.misclassified.gallery
    if own:
        names = tuple(f"kind {number}" for number in range(10))
        weights = dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, classes=names))
        gallery = dataclasses.replace(gallery, class_names=names)
    expected = len(gallery.examples) if with_gallery else 0 if own else len(EXAMPLES)
    with serve(Service(weights, gallery=gallery if with_gallery else None)) as page:
        parts = parts_of(page)
    examples = parts["examples"]
    assert (examples.visible, len(examples.value or [])) == (expected > 0, expected)
    # The hint speaks only of what there is.
    assert ("example" in parts["results"].value) == (expected > 0)
    assert examples.label == f"Examples: test images{'' if own else ' of CIFAR-10'}"
    if with_gallery:
        assert [one["caption"] for one in examples.value] == list(gallery.examples)


# Gradio itself rejects what its controls do not allow.
@pytest.mark.parametrize(
    ("endpoint", "changes", "message"),
    [
        ("misclassified", {"count": 10_000}, "maximum value"),
        ("misclassified", {"page": 99}, "page must be a whole number from 1 to"),
        ("misclassified", {"true": "unicorn"}, "unicorn"),
        ("misclassified", {"explain": True, "layer": "layer9"}, "layer9"),
        ("misclassified", {"opacity": -1}, "minimum value 0"),
        ("classify", {"top": 11}, "maximum value 10"),
        ("classify", {"top": 2.5}, "top must be a whole number"),
        ("classify", {"layers": []}, "layers is empty"),
        ("classify", {"method": "gradcan"}, "gradcan"),
        ("classify", {"images": []}, "0 images were given; 1 to 4"),
        ("classify", {"images": [handle_file(path) for path in EXAMPLES[:5]]}, "5 images were given; 1 to 4"),
    ],
)
def test_invalid_requests_are_rejected_and_the_next_is_answered(client, endpoint, changes, message):
    images = {"images": [handle_file(EXAMPLES[0])]} if endpoint == "classify" else {}
    with pytest.raises(AppError, match=message):
        client.predict(**(images | changes), api_name=f"/{endpoint}")
    assert len(client.predict(count=1, api_name="/misclassified")["images"]) == 1


def test_figures_are_served_and_their_neighbours_are_not(server, run_folder):
    components = json.loads(server.send("config"))["components"]
    texts = " ".join(str(one["props"].get("value")) for one in components)
    sources = [source for source in re.findall(r'src="([^"]+)', texts) if not source.startswith("data:")]
    for source, name in zip(sources, ("curves", "curves-dark"), strict=True):
        # Wherever a reverse proxy has the page.
        assert urljoin("https://example.com/a/b/", source) == f"https://example.com/a/b/{source}"
        assert server.send(source) == (run_folder / f"report/figures/{name}.png").read_bytes()
    for hidden in ("model.safetensors", "report/summary.json"):
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            server.send(f"gradio_api/file={run_folder / hidden}")
        refused.value.close()


def test_a_model_without_errors_offers_nothing_to_choose_from(run_service, serve):
    names = {"class_names": run_service.classes, "weights_sha256": run_service.weights.sha256}
    images = np.zeros((10, 32, 32, 3), np.uint8)
    gallery = make_gallery(np.eye(10, dtype=np.float32), np.arange(10), images, **names)
    with serve(Service(run_service.weights, gallery=gallery)) as page:
        parts = parts_of(page)
    assert "every image is classified correctly" in parts["errors"].value
    around = parts["Number of errors"]
    while around.visible and around.parent is not None:
        around = around.parent
    assert not around.visible


def test_a_server_without_gallery_says_so(weights_file, serve):
    with serve(load_service(weights_file)) as page, connected(page.local_url) as client:
        with pytest.raises(AppError, match="there is no gallery of this model here"):
            client.predict(api_name="/misclassified")
        assert client.predict(api_name="/model")["per_class"] == []


def test_the_page_loads_nothing_from_elsewhere(server):
    text = (server.send("") + server.send("theme.css")).decode()
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)|url\(["']?([^"')]+)""", text)
    assert loaded
    assert [one for pair in loaded for one in pair if re.match("(https?:)?//", one)] == []


def test_work_ends_when_the_caller_leaves(server, serve, weights_file, monkeypatch):
    begun = []

    def slow(*args, **options):
        begun.append(time.monotonic())
        time.sleep(0.3)
        return explain(*args, **options)

    service = load_service(weights_file)
    monkeypatch.setattr(cifar_space.service.engine, "explain", slow)
    with serve(service) as page:
        one = dataclasses.replace(server, url=page.local_url)
        paths = one.upload(*(Path(path).read_bytes() for path in EXAMPLES))
        address = one.call(*paths, explain=True, explained=10)
        with urllib.request.urlopen(f"{one.url}{address}", timeout=60):
            while not begun:
                time.sleep(0.01)
        time.sleep(2)
    assert len(begun) <= 3


def refused_after(send):
    """Returns how many of 100 requests were taken before one was refused, and the words of the refusal."""
    for number in range(100):
        try:
            send()
        except urllib.error.HTTPError as error:
            return number, error.read().decode()
    return 100, ""


def test_addresses_take_turns_and_nobody_fills_the_queue(server, serve, weights_file, monkeypatch):
    opened, line = threading.Event(), []

    def held(*_):
        opened.wait(60)
        return np.zeros((1, 10))

    with serve(load_service(weights_file)) as page:
        monkeypatch.setattr(cifar_space.service.engine, "predict_logits", held)
        many, other = (dataclasses.replace(server, url=page.local_url, address=one) for one in ("::1", "::2"))
        (path,) = many.upload(Path(EXAMPLES[-1]).read_bytes())
        index = next(index for index, function in page.fns.items() if function.api_name == "misclassified")
        join = json.dumps({"fn_index": index, "data": [None] * 10, "session_hash": "one"}).encode()
        try:
            taken, why = refused_after(lambda: many.call(path, explain=True))
            assert taken == 64 + MODEL["concurrency_limit"]
            assert "64 requests of your address are waiting" in why
            (line,) = [one.queue for one in page._queue.event_queue_per_concurrency_id.values() if one.queue]
            other.call(path)
            assert [event.request.headers["x-forwarded-for"] for event in line[:3]] == ["::1", "::2", "::1"]
            taken, why = refused_after(lambda: other.send("gradio_api/queue/join", join))
            assert taken == 4
            assert "4 requests of your session" in why
        finally:
            opened.set()
            while line:
                time.sleep(0.1)
