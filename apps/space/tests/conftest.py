"""A small untrained network as a weights file, its gallery of drawn images, and services that answer with them."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_explain import (
    Gallery,
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
from cifar_space import Limits, ServedFiles, Service, load_service

ARGUMENTS = {"widths": [4, 6, 8]}
IMAGES = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(120) % 10
_VOID = {"img"}


class Page(HTMLParser):
    """Tags with their attributes, and the text; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def images(self, kind: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img" and attributes["class"] == kind]


@pytest.fixture
def parse() -> type[Page]:
    """A parser of HTML that tests ask for by its argument."""
    return Page


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network without thresholds for out-of-distribution images."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(
        path, _network(), architecture="whitenet", arguments=ARGUMENTS, metrics={"test_accuracy": 0.875}
    )
    return path


@pytest.fixture
def service(weights_file: Path) -> Service:
    return Service(load_weights(weights_file))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run: weights with thresholds for out-of-distribution images, a gallery with people's votes, a report."""
    run = tmp_path_factory.mktemp("run")
    model = _network()
    logits = predict_logits(model, IMAGES, preprocess=CIFAR10.normalize)
    digest = save_weights(
        run / "model.safetensors",
        model,
        architecture="whitenet",
        arguments=ARGUMENTS,
        recipe={"recipe": "fast", "trainer": {"max_epochs": 7}},
        metrics={
            "test_accuracy": 0.875,
            "data_fingerprint": "12ab",
            "familiarity": fit_ood_detector(logits, LABELS, false_positive_rate=0.25).to_dict(),
        },
    )
    write_gallery(_gallery(model, digest), run / "gallery")
    figures = run / "report" / "figures"
    figures.mkdir(parents=True)
    (run / "report" / "summary.json").write_text(
        '{"format_version": 1, "command": ["cifar-train", "--seed", "1"]}'
    )
    for name in ("curves", "curves-dark", "misclassified"):
        _picture(figures / f"{name}.png")
    return run


@pytest.fixture(scope="session")
def run_files(run_folder: Path) -> ServedFiles:
    return ServedFiles(run_folder / "model.safetensors", run_folder / "gallery", run_folder / "report")


@pytest.fixture(scope="session")
def run_service(run_files: ServedFiles) -> Service:
    return load_service(run_files, limits=Limits(pictures=4, file_bytes=100_000))


def _network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("whitenet", **ARGUMENTS)
        # The classifier starts near zero, which would make all probabilities alike.
        torch.nn.init.normal_(model.head.weight)
    return model.eval()


def _gallery(model: torch.nn.Module, digest: str) -> Gallery:
    rows = predict_probabilities(model, IMAGES, preprocess=CIFAR10.normalize).astype(np.float32)
    errors = find_errors(rows, LABELS, class_names=CIFAR10.classes)
    counts = np.random.default_rng(1).integers(1, 30, (len(IMAGES), 10)).astype(float)
    first = int(errors.indices[0])
    recheck = Recheck(int(LABELS[first]), int(errors.predictions[0]), 1, 4, 0, 0)
    return make_gallery(
        rows,
        LABELS,
        IMAGES,
        class_names=CIFAR10.classes,
        weights_sha256=digest,
        human=judge_errors(errors, counts=counts, rechecks={first: recheck}),
    )


def _picture(path: Path) -> None:
    Image.new("RGB", (8, 5), "teal").save(path)
