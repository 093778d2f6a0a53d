"""A real server and real clients, on this machine only."""

import contextlib
import dataclasses
import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import cifar_space.service.engine
from cifar_explain import explain, make_gallery
from cifar_models import InputSpec, Weights, create_model, save_weights
from cifar_space import MisclassifiedOptions, Options, Service, example_paths, load_service
from cifar_space.service.serialize import describe, describe_misclassified

EXAMPLES = [str(path) for path in example_paths()]


Serve = Callable[..., contextlib.AbstractContextManager[gr.Blocks]]


@contextlib.contextmanager
def connected(url: str, folder: Path) -> Iterator[Client]:
    client = Client(url, verbose=False, analytics_enabled=False, download_files=folder)
    try:
        yield client
    finally:
        client.close()


def parts_of(page: gr.Blocks) -> dict[str, Any]:
    """The parts of a page by their ids."""
    return {part.elem_id: part for part in page.blocks.values() if part.elem_id}


@pytest.fixture(scope="module")
def client(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with connected(server.url, tmp_path_factory.mktemp("got")) as client:
        yield client


def classify(client: Client, *paths: str, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"images": [handle_file(path) for path in paths], **changes}
    return client.predict(**arguments, api_name="/classify")


@pytest.mark.parametrize("host", ["::1", "[::]"])
def test_serves_at_addresses_of_ipv6(run_service: Service, serve: Serve, host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve(run_service, host=host) as page:
        assert f"[{host.strip('[]')}]" in page.local_url
        with urllib.request.urlopen(page.local_url, timeout=60) as response:
            assert response.status == 200


def test_answers_as_the_service_does(client: Client, run_service: Service) -> None:
    got = classify(
        client, *EXAMPLES[:2], top=10, method="layercam", target="cat", layers=["layer2"], opacity=0.25
    )
    options = Options(top=10, layers=["layer2"], method="layercam", target="cat")
    assert got == describe(run_service.answer(EXAMPLES[:2], options), opacity=0.25)


def test_defaults_are_those_of_the_page(client: Client, run_service: Service) -> None:
    assert classify(client, EXAMPLES[0]) == describe(run_service.answer(EXAMPLES[:1], Options()), opacity=0.5)


@pytest.mark.parametrize(("classes", "default", "most"), [(2, 2, 2), (12, 3, 10)])
def test_answers_name_at_most_ten_classes(
    serve: Serve, tmp_path: Path, classes: int, default: int, most: int
) -> None:
    spec = InputSpec(tuple(f"kind {number}" for number in range(classes)), (0.5,) * 3, (0.25,) * 3, 32)
    arguments = {"widths": [4, 6, 8], "num_classes": classes}
    path = tmp_path / "model.safetensors"
    model = create_model("whitenet", **arguments)
    save_weights(path, model, architecture="whitenet", arguments=arguments, spec=spec)
    with serve(load_service(path)) as page, connected(page.local_url, tmp_path) as client:
        assert len(classify(client, EXAMPLES[0], explain=False)[0]["predictions"]) == default
        assert len(classify(client, EXAMPLES[0], explain=False, top=most)[0]["predictions"]) == most
        with pytest.raises(AppError, match=f"{most + 1} is greater than maximum value {most}"):
            classify(client, EXAMPLES[0], explain=False, top=most + 1)


def with_own_classes(weights: Weights) -> Weights:
    names = tuple(f"kind {number}" for number in range(len(weights.spec.classes)))
    return dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, classes=names))


@pytest.mark.parametrize("own", [True, False])
def test_built_in_examples_are_for_their_classes_only(run_service: Service, serve: Serve, own: bool) -> None:
    """Without a gallery there are those examples or none, and the hint speaks only of what there is."""
    weights = with_own_classes(run_service.weights) if own else run_service.weights
    with serve(Service(weights)) as page:
        parts = parts_of(page)
        assert parts["examples"].visible is not own
        assert len(parts["examples"].value or []) == (0 if own else len(EXAMPLES))
        assert ("example" in parts["results"].value) is not own


def test_a_gallerys_examples_are_for_any_classes(run_service: Service, serve: Serve) -> None:
    gallery = run_service.misclassified.gallery
    weights = with_own_classes(run_service.weights)
    own = dataclasses.replace(gallery, class_names=weights.spec.classes)
    with serve(Service(weights, gallery=own)) as page:
        examples = parts_of(page)["examples"]
        assert (examples.visible, examples.label) == (True, "Examples: test images")
        assert [one["caption"] for one in examples.value] == list(own.examples)


def test_endpoints_have_their_documented_parameters(client: Client) -> None:
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {
        endpoint: [one["parameter_name"] for one in told["parameters"]] for endpoint, told in offered.items()
    }
    assert names == {
        "/classify": ["images", "top", "explain", "layers", "method", "target", "explained", "opacity"],
        "/misclassified": [
            "count", "page", "order", "seed", "true", "predicted", "explain", "layer", "method", "opacity"
        ],
        "/model": [],
    }  # fmt: skip


def test_misclassified_answers_as_the_service_does(client: Client, run_service: Service) -> None:
    frequent = run_service.classes[int(run_service.misclassified.errors.labels[0])]
    drawn = {"order": "chance", "seed": 7, "true": frequent}
    for changes in (
        {},
        {"count": 30, "page": 2, "order": "loss"},
        {**drawn, "explain": True, "layer": "layer1", "method": "layercam"},
        {"predicted": run_service.classes[int(run_service.misclassified.errors.predictions[0])], "count": 3},
    ):
        page = run_service.misclassified_page(MisclassifiedOptions(**changes))
        got = client.predict(**changes, opacity=0.25, api_name="/misclassified")
        assert got == describe_misclassified(page, opacity=0.25)
        assert got["images"]


def test_model_returns_the_facts(client: Client, run_service: Service) -> None:
    assert client.predict(api_name="/model") == run_service.facts.to_dict()


# Gradio itself rejects what its controls do not allow.
@pytest.mark.parametrize(
    ("endpoint", "changes", "message"),
    [
        ("misclassified", {"count": 10_000}, "maximum value"),
        ("misclassified", {"count": 2.5}, "count must be a whole number"),
        ("misclassified", {"page": 99}, "page must be a whole number from 1 to"),
        ("misclassified", {"seed": 2**40}, "seed must be a whole number"),
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
def test_invalid_requests_are_rejected_and_the_next_is_answered(
    client: Client, endpoint: str, changes: dict[str, Any], message: str
) -> None:
    images = {"images": [handle_file(EXAMPLES[0])]} if endpoint == "classify" else {}
    with pytest.raises(AppError, match=message):
        client.predict(**(images | changes), api_name=f"/{endpoint}")
    assert len(client.predict(count=1, api_name="/misclassified")["images"]) == 1


def test_a_bad_file_does_not_spoil_the_others(client: Client, tmp_path: Path) -> None:
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(b"not a readable image")
    bad, good = classify(client, str(broken), EXAMPLES[3], explain=False)
    assert "not a readable image" in bad["error"]
    assert good["name"] == Path(EXAMPLES[3]).name
    assert len(good["predictions"]) == 3


def test_figures_are_served_and_their_neighbours_are_not(
    server: Any, run_service: Service, run_folder: Path
) -> None:
    components = json.loads(server.send("config"))["components"]
    texts = " ".join(str(one["props"].get("value")) for one in components)
    sources = [source for source in re.findall(r'src="([^"]+)', texts) if not source.startswith("data:")]
    assert len(sources) == 2
    for source, name in zip(sources, ("curves", "curves-dark"), strict=True):
        # Wherever a reverse proxy has the page.
        assert urljoin("https://example.com/a/b/", source) == f"https://example.com/a/b/{source}"
        assert server.send(source) == (run_folder / "report" / "figures" / f"{name}.png").read_bytes()
    for hidden in (run_folder / "model.safetensors", run_folder / "report" / "summary.json"):
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            server.send(f"gradio_api/file={hidden}")
        refused.value.close()


def test_a_model_without_errors_offers_nothing_to_choose_from(run_service: Service, serve: Serve) -> None:
    labels = np.arange(10)
    gallery = make_gallery(
        np.eye(10, dtype=np.float32),
        labels,
        np.zeros((10, 32, 32, 3), np.uint8),
        class_names=run_service.classes,
        weights_sha256=run_service.weights.sha256,
    )
    with serve(Service(run_service.weights, gallery=gallery)) as page:
        assert "every image is classified correctly" in parts_of(page)["errors"].value
        (around,) = (
            part for part in page.blocks.values() if getattr(part, "label", None) == "Number of errors"
        )
        while around.visible and around.parent is not None:
            around = around.parent
        assert not around.visible


def test_a_server_without_gallery_says_so(weights_file: Path, serve: Serve, tmp_path: Path) -> None:
    with serve(load_service(weights_file)) as page, connected(page.local_url, tmp_path) as client:
        with pytest.raises(AppError, match="there is no gallery of this model here"):
            client.predict(api_name="/misclassified")
        assert client.predict(api_name="/model")["per_class"] == []


def test_the_page_loads_nothing_from_elsewhere(server: Any) -> None:
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
