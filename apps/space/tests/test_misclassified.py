"""Pages of errors against the gallery that they come from."""

import dataclasses
import itertools
import shutil
from unittest.mock import Mock

import numpy as np
import pytest

from cifar_explain import explain, read_gallery
from cifar_models import load_weights
from cifar_space import PAGE_SIZE, MisclassifiedOptions, RequestError, Service, load_service
from cifar_space.service import engine, requests

pytestmark = pytest.mark.numeric


def ask(service, **options):
    return service.misclassified_page(MisclassifiedOptions(**options))


def everything(service, **options):
    """The images of all pages."""
    options["count"] = len(service.misclassified.errors)
    pages = [ask(service, page=page, **options) for page in range(1, ask(service, **options).pages + 1)]
    assert all(len(page.images) == PAGE_SIZE for page in pages[:-1])
    return [image for page in pages for image in page.images]


def test_all_errors_come_once_with_their_numbers_and_votes(run_service):
    gallery, names = run_service.misclassified.gallery, run_service.classes
    wrong = np.flatnonzero(gallery.probabilities.argmax(axis=1) != gallery.labels).tolist()
    images = everything(run_service)
    assert len(images) > 2 * PAGE_SIZE
    assert sorted(image.index for image in images) == wrong
    for image in images:
        row, label = gallery.probabilities[image.index], gallery.labels[image.index]
        assert (image.true, image.predicted) == (names[label], names[row.argmax()])
        assert (image.confidence, image.true_probability) == (row.max(), row[label])
        assert image.loss == pytest.approx(-np.log(image.true_probability))
        assert np.array_equal(image.seen, gallery.image(image.index))
        assert image.maps is None
        human, position = gallery.human, wrong.index(image.index)
        assert (image.verdict, image.recheck) == (human.verdicts[position], human.rechecks[position])
        shares = dict(image.votes)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert [shares.get(name, 0) for name in names] == human.votes[position].tolist()
    assert any(image.recheck for image in images)


def test_orders_are_by_confidence_loss_or_seed(run_service):
    for order in ("confidence", "loss"):
        values = [getattr(image, order) for image in everything(run_service, order=order)]
        assert values == sorted(values, reverse=True)
    drawn = [everything(run_service, order="chance", seed=seed) for seed in (1, 1, 2)]
    first, same, other = ([image.index for image in images] for images in drawn)
    assert first == same != other
    assert sorted(first) == sorted(other)


@pytest.mark.parametrize("order", ["confidence", "loss", "chance"])
def test_filters_keep_the_order(run_service, order):
    whole, matrix = everything(run_service, order=order), run_service.misclassified.matrix
    assert matrix.sum() == len(run_service.misclassified.gallery.labels)
    for (row, true), (column, predicted) in itertools.permutations(enumerate(run_service.classes), 2):
        chosen = everything(run_service, order=order, true=true, predicted=predicted)
        assert len(chosen) == matrix[row, column]
        expected = [one.index for one in whole if (one.true, one.predicted) == (true, predicted)]
        assert [one.index for one in chosen] == expected
    ships = everything(run_service, order=order, predicted="ship")
    assert [one.index for one in ships] == [one.index for one in whole if one.predicted == "ship"]


def test_counts_and_pages(run_service):
    total = len(run_service.misclassified.errors)
    page = ask(run_service, count=PAGE_SIZE + 1, page=2)
    assert (len(page.images), page.page, page.pages) == (1, 2, 2)
    assert (page.chosen, page.matching, page.total) == (PAGE_SIZE + 1, total, total)
    options = MisclassifiedOptions(count=PAGE_SIZE + 1, page=9)
    assert run_service.misclassified.page(options, nearest=True).page == 2
    # No cat is predicted as a cat by mistake.
    none = ask(run_service, true="cat", predicted="cat")
    assert (none.images, none.pages, none.matching, none.total) == ((), 1, 0, total)


@pytest.mark.parametrize("method", ["layercam", "eigencam"])
def test_maps_are_of_both_classes_and_computed_once(run_files, method, assert_close, monkeypatch):
    service = load_service(run_files)
    model, spec, layer = service.weights.model, service.weights.spec, service.layers[-1]
    monkeypatch.setattr(engine, "explain", counted := Mock(wraps=explain))
    # Batches of at most eight images: 1; 1 more; none; 8 and 3 more.
    for count, calls in ((1, 1), (2, 2), (2, 2), (13, 4)):
        page = ask(service, count=count, explain=True, method=method)
        assert counted.call_count == calls
        assert page.layer == layer
    for image in page.images:
        inputs = spec.normalize(image.seen[None])
        for name, heat in zip((image.predicted, image.true), image.maps, strict=True):
            target = service.classes.index(name)
            expected = explain(model, inputs, layers=[layer], method=method, target=target)
            assert_close(heat.copy(), expected[0, 0])
    (image,) = ask(service, count=1, explain=True, layer="layer1").images
    inputs = spec.normalize(image.seen[None])
    target = service.classes.index(image.predicted)
    assert_close(image.maps[0].copy(), explain(model, inputs, layers=["layer1"], target=target)[0, 0])


def test_without_images_the_numbers_stay(run_files, run_service, tmp_path):
    shutil.copy(run_files.gallery / "gallery.npz", tmp_path)
    bare = load_service(dataclasses.replace(run_files, gallery=tmp_path))
    for one, other in zip(everything(bare), everything(run_service), strict=True):
        assert one.seen is None
        assert (one.index, one.confidence, one.votes) == (other.index, other.confidence, other.votes)
    with pytest.raises(RequestError, match="the gallery has no images"):
        ask(bare, explain=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"count": value}, "count must be a whole number from 1") for value in (0, 2.5, 10**9, "4", True)),
        *(({"page": value}, "page must be a whole number from 1 to 1") for value in (0, 2)),
        *(({"seed": value}, "seed must be a whole number from 0") for value in (-1, 2**32)),
        ({"order": "margin"}, "order has the unknown name 'margin'"),
        ({"true": "cot"}, "did you mean 'cat'"),
        ({"predicted": None}, "predicted has the unknown name None"),
        ({"explain": 1}, "explain must be true or false"),
        ({"explain": True, "layer": "layer9"}, "layer has the unknown name 'layer9'"),
        ({"explain": True, "method": ["gradcam"]}, "method has the unknown name"),
    ],
    ids=str,
)
def test_invalid_options_are_rejected(run_service, options, message):
    with pytest.raises(RequestError, match=message):
        ask(run_service, **options)


def test_a_gallery_of_another_model_is_rejected(run_files, weights_file):
    with pytest.raises(ValueError, match="gallery of another model"):
        load_service(dataclasses.replace(run_files, weights=weights_file))
    gallery = read_gallery(run_files.gallery)
    with pytest.raises(ValueError, match="gallery is of weights"):
        Service(load_weights(weights_file), gallery=gallery)
    renamed = dataclasses.replace(gallery, class_names=tuple("abcdefghij"), human=None)
    with pytest.raises(ValueError, match="the gallery has the classes a, b"):
        Service(load_weights(run_files.weights), gallery=renamed)


def test_slow_maps_are_stopped(run_service, monkeypatch):
    monkeypatch.setattr(requests, "time", Mock(monotonic=Mock(side_effect=range(0, 10_000, 30))))
    with pytest.raises(RequestError, match="stopped after 60 seconds"):
        ask(run_service, explain=True, layer="layer1", method="eigencam")
