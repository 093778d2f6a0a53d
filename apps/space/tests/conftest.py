"""A small untrained network as a weights file, its gallery of drawn images, and services that answer with them."""

import contextlib
import gc
import json
import socket
import urllib.request
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_explain import (
    Recheck,
    find_errors,
    fit_ood_detector,
    judge_errors,
    make_gallery,
    predict_logits,
    predict_probabilities,
    write_gallery,
)
from cifar_models import CIFAR10, create_model, load_weights, save_weights
from cifar_space import Limits, Service, load_service, of_run

NETWORK = {"architecture": "whitenet", "arguments": {"widths": [4, 6, 8]}}
IMAGES = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(120) % 10


@pytest.fixture(scope="session")
def contents():
    """The bytes of all files in a folder, by their paths in it."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="session")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("whitenet", **NETWORK["arguments"])
        # The classifier starts near zero, which would make all probabilities alike.
        torch.nn.init.normal_(model.head.weight)
    return model.eval()


@pytest.fixture(scope="session")
def weights_file(network, tmp_path_factory):
    """A network without thresholds for out-of-distribution images."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, network, **NETWORK, metrics={"test_accuracy": 0.875})
    return path


@pytest.fixture
def service(weights_file):
    return Service(load_weights(weights_file))


@pytest.fixture(scope="session")
def run_folder(network, tmp_path_factory):
    """A run: weights with thresholds for out-of-distribution images, a gallery with people's votes, a report."""
    run = tmp_path_factory.mktemp("run")
    logits = predict_logits(network, IMAGES, preprocess=CIFAR10.normalize)
    detector = fit_ood_detector(logits, LABELS, false_positive_rate=0.25)
    digest = save_weights(
        run / "model.safetensors",
        network,
        **NETWORK,
        recipe={"recipe": "fast", "trainer": {"max_epochs": 7}},
        metrics={"test_accuracy": 0.875, "data_fingerprint": "12ab", "familiarity": detector.to_dict()},
    )
    rows = predict_probabilities(network, IMAGES, preprocess=CIFAR10.normalize).astype(np.float32)
    errors = find_errors(rows, LABELS, class_names=CIFAR10.classes)
    counts = np.random.default_rng(1).integers(1, 30, (len(IMAGES), 10)).astype(float)
    recheck = Recheck(int(errors.labels[0]), int(errors.predictions[0]), 1, 4, 0, 0)
    human = judge_errors(errors, counts=counts, rechecks={int(errors.indices[0]): recheck})
    names = {"class_names": CIFAR10.classes, "weights_sha256": digest}
    write_gallery(make_gallery(rows, LABELS, IMAGES, **names, human=human), run / "gallery")
    figures = run / "report" / "figures"
    figures.mkdir(parents=True)
    summary = {"format_version": 1, "command": ["cifar-train", "--seed", "1"]}
    (run / "report" / "summary.json").write_text(json.dumps(summary))
    for name in ("curves", "curves-dark", "misclassified"):
        Image.new("RGB", (8, 5), "teal").save(figures / f"{name}.png")
    return run


@pytest.fixture(scope="session")
def run_files(run_folder):
    return of_run(run_folder)


@pytest.fixture(scope="session")
def run_service(run_files):
    return load_service(run_files, limits=Limits(pictures=4, file_bytes=100_000))


@contextlib.contextmanager
def _serve(service, *, host="127.0.0.1"):
    from cifar_space.ui.server import start

    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        # After each event Gradio sums up all so far, with what pandas has deprecated; here it never does.
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
        # Gradio makes event loops for its locks and leaves them to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        page = start(service, host=host, port=port)
        gc.collect()
    try:
        yield page
    finally:
        page.close(verbose=False)


@pytest.fixture(scope="session")
def serve():
    """The page of a service, with a server in this process until the end of the block."""
    return _serve


@dataclass(frozen=True)
class Server:
    """A served page, and requests by hand, as a client without manners would make them."""

    url: str
    address: str = "192.0.2.1"

    def send(self, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind, "X-Forwarded-For": self.address}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.read()

    def upload(self, *contents, name="a.png"):
        """Uploads files and returns their paths on the server."""
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        body = b"".join(head + content + b"\r\n" for content in contents) + b"--x--\r\n"
        return json.loads(self.send("gradio_api/upload", body, "multipart/form-data; boundary=x"))

    def call(self, *paths, url=None, top=3, explain=False, explained=1):
        """Returns the address of the answer of a new call of `/classify`."""
        file = {"orig_name": "a.png", "meta": {"_type": "gradio.FileData"}} | ({"url": url} if url else {})
        files = [{"path": path, **file} for path in paths]
        data = [files, top, explain, ["layer1"], "layercam", "predicted", explained, 0.5]
        path = "gradio_api/call/classify"
        return f"{path}/{json.loads(self.send(path, json.dumps({'data': data}).encode()))['event_id']}"

    def classify(self, *paths, **options):
        """Returns the answers, or raises `ValueError` with the server's words."""
        told = self.send(self.call(*paths, **options)).decode()
        kind, _, answer = told.rpartition("event: ")[2].partition("\ndata: ")
        if kind == "error":
            raise ValueError(answer)
        return json.loads(answer)[0]


@pytest.fixture(scope="session")
def server(run_service):
    """The page of the run, which takes four files of 100,000 bytes."""
    with _serve(run_service) as page:
        yield Server(page.local_url)
