"""A real server and real clients, on this machine only."""

import contextlib
import dataclasses
import gc
import json
import math
import re
import socket
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from cifar_explain import make_gallery
from cifar_models import InputSpec, Weights, create_model, save_weights
from cifar_space import MisclassifiedOptions, Options, Service, example_paths, load_service
from cifar_space.service.serialize import describe, describe_misclassified
from cifar_space.ui.server import start

EXAMPLES = [str(path) for path in example_paths()]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def service(run_service: Service) -> Service:
    return run_service


@contextlib.contextmanager
def serving(service: Service) -> Iterator[gr.Blocks]:
    """The page of a service, with a server until the end of the block."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        # After each event Gradio sums up all so far, with what pandas has deprecated; here it never does.
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
        # Gradio makes event loops for its locks and leaves them to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        page = start(service, host="127.0.0.1", port=free_port())
        gc.collect()
    try:
        yield page
    finally:
        page.close(verbose=False)


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
def url(service: Service) -> Iterator[str]:
    with serving(service) as page:
        yield page.local_url


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with connected(url, tmp_path_factory.mktemp("got")) as client:
        yield client


def classify(client: Client, *paths: str, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"images": [handle_file(path) for path in paths], **changes}
    return client.predict(**arguments, api_name="/classify")


def test_answers_as_the_service_does(client: Client, service: Service) -> None:
    got = classify(
        client, *EXAMPLES[:2], top=10, method="layercam", target="cat", layers=["layer2"], opacity=0.25
    )
    options = Options(top=10, layers=["layer2"], method="layercam", target="cat")
    assert got == describe(service.answer(EXAMPLES[:2], options), opacity=0.25)


def test_defaults_are_those_of_the_page(client: Client, service: Service) -> None:
    assert classify(client, EXAMPLES[0]) == describe(service.answer(EXAMPLES[:1], Options()), opacity=0.5)
    assert classify(client, EXAMPLES[0], explain=False)[0]["maps"] == {}


@pytest.mark.parametrize(("classes", "default", "most"), [(2, 2, 2), (12, 3, 10)])
def test_answers_name_at_most_ten_classes(tmp_path: Path, classes: int, default: int, most: int) -> None:
    spec = InputSpec(tuple(f"kind {number}" for number in range(classes)), (0.5,) * 3, (0.25,) * 3, 32)
    arguments = {"widths": [4, 6, 8], "num_classes": classes}
    path = tmp_path / "model.safetensors"
    model = create_model("whitenet", **arguments)
    save_weights(path, model, architecture="whitenet", arguments=arguments, spec=spec)
    with serving(load_service(path)) as page, connected(page.local_url, tmp_path) as client:
        assert len(classify(client, EXAMPLES[0], explain=False)[0]["predictions"]) == default
        assert len(classify(client, EXAMPLES[0], explain=False, top=most)[0]["predictions"]) == most
        with pytest.raises(AppError, match=f"{most + 1} is greater than maximum value {most}"):
            classify(client, EXAMPLES[0], explain=False, top=most + 1)


def with_own_classes(weights: Weights) -> Weights:
    names = tuple(f"kind {number}" for number in range(len(weights.spec.classes)))
    return dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, classes=names))


@pytest.mark.parametrize("own", [True, False])
def test_built_in_examples_are_for_their_classes_only(service: Service, own: bool) -> None:
    """Without a gallery there are those examples or none, and the hint speaks only of what there is."""
    weights = with_own_classes(service.weights) if own else service.weights
    with serving(Service(weights)) as page:
        parts = parts_of(page)
        assert parts["examples"].visible is not own
        assert len(parts["examples"].value or []) == (0 if own else len(EXAMPLES))
        assert ("example" in parts["results"].value) is not own


def test_a_gallerys_examples_are_for_any_classes(run_service: Service) -> None:
    gallery = run_service.misclassified.gallery
    weights = with_own_classes(run_service.weights)
    own = dataclasses.replace(gallery, class_names=weights.spec.classes)
    with serving(Service(weights, gallery=own)) as page:
        examples = parts_of(page)["examples"]
        assert examples.visible
        assert examples.label == "Examples: test images"
        assert len(examples.value) == len(gallery.examples)


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


def test_misclassified_answers_as_the_service_does(client: Client, service: Service) -> None:
    frequent = service.classes[int(service.misclassified.errors.labels[0])]
    for changes in (
        {},
        {"count": 30, "page": 2, "order": "loss"},
        {
            "order": "chance",
            "seed": 7,
            "true": frequent,
            "explain": True,
            "layer": "layer1",
            "method": "layercam",
        },
        {"predicted": service.classes[int(service.misclassified.errors.predictions[0])], "count": 3},
    ):
        page = service.misclassified_page(MisclassifiedOptions(**changes))
        got = client.predict(**changes, opacity=0.25, api_name="/misclassified")
        assert got == describe_misclassified(page, opacity=0.25)
        assert got["images"]


def test_model_returns_the_facts(client: Client, service: Service) -> None:
    assert client.predict(api_name="/model") == service.facts.to_dict()


@pytest.mark.parametrize(
    ("endpoint", "changes", "message"),
    [
        ("misclassified", {"count": 0}, "minimum value 1"),
        ("misclassified", {"count": 10_000}, "maximum value"),
        ("misclassified", {"count": 2.5}, "count must be a whole number"),
        ("misclassified", {"page": -1}, "minimum value 1"),
        ("misclassified", {"page": 99}, "page must be a whole number from 1 to"),
        ("misclassified", {"seed": -1}, "minimum value 0"),
        ("misclassified", {"seed": 2**40}, "seed must be a whole number"),
        ("misclassified", {"order": "margin"}, "margin"),
        ("misclassified", {"true": "unicorn"}, "unicorn"),
        ("misclassified", {"predicted": ["cat"]}, "cat"),
        ("misclassified", {"explain": True, "layer": "layer9"}, "layer9"),
        ("misclassified", {"explain": True, "method": "gradcan"}, "gradcan"),
        ("misclassified", {"opacity": -1}, "minimum value 0"),
        ("classify", {"top": 0}, "minimum value 1"),
        ("classify", {"top": 11}, "maximum value 10"),
        ("classify", {"top": 2.5}, "top must be a whole number"),
        ("classify", {"explained": -1}, "minimum value 1"),
        ("classify", {"opacity": 2}, "maximum value 1"),
        ("classify", {"layers": ["layer9"]}, "layer9"),
        ("classify", {"layers": []}, "layers is empty"),
        ("classify", {"method": "gradcan"}, "gradcan"),
        ("classify", {"target": "unicorn"}, "unicorn"),
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


def test_too_large_uploads_are_rejected(url: str, client: Client, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(100_001))
    with pytest.raises(ValueError, match="exceeds the maximum file size of 100000 bytes"):
        classify(client, str(large))
    # A client that does not look at the limit itself.
    with pytest.raises(urllib.error.HTTPError, match="413") as refused:
        upload(url, "a.png", large.read_bytes())
    refused.value.close()
    assert classify(client, EXAMPLES[0], explain=False)[0]["predictions"]


def test_files_that_were_not_uploaded_stay_closed(client: Client) -> None:
    claimed = {"path": EXAMPLES[0], "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="it was not uploaded by a user"):
        post(client, [claimed])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_address_is_fetched(client: Client, scheme: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.setblocking(False)
        address = f"{scheme}://127.0.0.1:{other.getsockname()[1]}/a.png"
        with pytest.raises(AppError, match="web addresses are not fetched"):
            post(client, [{"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}])
        with pytest.raises(BlockingIOError):  # nobody has called
            other.accept()


def test_nan_is_rejected(url: str, client: Client) -> None:
    (path,) = upload(url, "a.png", Path(EXAMPLES[0]).read_bytes())
    with pytest.raises(AppError, match="top must be a whole number from 1 to 10, got nan"):
        post(client, [{"path": path, "meta": {"_type": "gradio.FileData"}}], top=math.nan)


def upload(url: str, name: str, content: bytes) -> list[str]:
    """Upload by hand and return the path on the server."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    request = urllib.request.Request(
        f"{url}gradio_api/upload",
        head + content + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def post(client: Client, images: list[dict[str, Any]], *, top: float = 3) -> None:
    """Call the endpoint by hand, as a client without manners would."""
    base = f"{client.src.rstrip('/')}/gradio_api/call/classify"
    data = [images, top, True, ["layer1"], "gradcam", "predicted", 1, 0.5]
    request = urllib.request.Request(
        base, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(f"{base}/{event}", timeout=60) as response:
            told = response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise AppError(f"{error.code} {error.read().decode()}") from error
    if "event: error" in told:
        raise AppError(told)


def test_figures_are_served_and_their_neighbours_are_not(
    url: str, service: Service, run_folder: Path
) -> None:
    figure = service.report.figures["curves"].light
    with urllib.request.urlopen(f"{url}gradio_api/file={figure}", timeout=60) as response:
        assert response.read() == figure.read_bytes()
    for hidden in (run_folder / "model.safetensors", run_folder / "report" / "summary.json"):
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(f"{url}gradio_api/file={hidden}", timeout=60)
        refused.value.close()


def test_examples_are_of_the_gallery(url: str, service: Service) -> None:
    with urllib.request.urlopen(f"{url}config", timeout=60) as response:
        components = json.load(response)["components"]
    (examples,) = [one["props"]["value"] for one in components if one["props"].get("elem_id") == "examples"]
    assert [one["caption"] for one in examples] == list(service.misclassified.gallery.examples)


def test_a_model_without_errors_offers_nothing_to_choose_from(service: Service) -> None:
    labels = np.arange(10)
    gallery = make_gallery(
        np.eye(10, dtype=np.float32),
        labels,
        np.zeros((10, 32, 32, 3), np.uint8),
        class_names=service.classes,
        weights_sha256=service.weights.sha256,
    )
    with serving(Service(service.weights, gallery=gallery)) as page:
        assert "every image is classified correctly" in parts_of(page)["errors"].value
        (count,) = (part for part in page.blocks.values() if getattr(part, "label", None) == "How many")
        around = count
        while around.visible and around.parent is not None:
            around = around.parent
        assert not around.visible


def test_a_server_without_gallery_says_so(weights_file: Path, tmp_path: Path) -> None:
    with serving(load_service(weights_file)) as page, connected(page.local_url, tmp_path) as client:
        with pytest.raises(AppError, match="there is no gallery of this model here"):
            client.predict(api_name="/misclassified")
        assert client.predict(api_name="/model")["per_class"] == []


def test_the_page_loads_nothing_from_elsewhere(url: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as response:
        html = response.read().decode()
    with urllib.request.urlopen(f"{url}theme.css", timeout=60) as response:
        css = response.read().decode()
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)|url\(["']?([^"')]+)""", html + css)
    assert loaded
    assert [one for pair in loaded for one in pair if re.match("(https?:)?//", one)] == []
