"""Probabilities from micro-batches, and the errors, metrics and calibration that follow from them."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cifar_explain as ce
from cifar_explain.evaluation.calibration import softmax


@st.composite
def predictions(draw, *, tied=False):
    """Probabilities (N, K) and labels; `tied` ones hold many equal values."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = generator.integers(1, 4, (count, classes)) if tied else generator.random((count, classes)) ** 4
    return weights / weights.sum(axis=1, keepdims=True), generator.integers(0, classes, count)


@pytest.mark.numeric
@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_logits_and_their_softmax_do_not_depend_on_the_batch_size(model, images, batch_size, assert_close):
    expected = model(images).detach()
    for predict, values in ((ce.predict_logits, expected), (ce.predict_probabilities, expected.softmax(1))):
        predicted = predict(model, images, batch_size=batch_size)
        assert predicted.dtype == np.float64
        assert_close(predicted.astype(np.float32), values)
    np.testing.assert_array_equal(softmax(np.array([[2000.0, -2000.0]])), [[1, 0]])


def test_images_are_preprocessed_in_micro_batches(model, names):
    photos = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), np.uint8)
    sizes, seen = [], []

    def preprocess(batch):
        sizes.append(len(batch))
        return torch.from_numpy(batch).permute(0, 3, 1, 2) / 255

    options = {"preprocess": preprocess, "batch_size": 2, "progress": lambda *counts: seen.append(counts)}
    result = ce.evaluate(model, photos, [0, 1, 2, 3, 0], class_names=names, **options)
    assert sizes == [2, 2, 1]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert result.class_names == names
    whole = ce.predict_probabilities(model, preprocess(photos))
    np.testing.assert_allclose(result.probabilities, whole, atol=1e-6)


@given(predictions(tied=True), st.sampled_from(ce.RANKINGS))
def test_errors_are_all_wrong_predictions_ranked_and_split_by_class(case, by):
    probabilities, labels = case
    guesses, classes = probabilities.argmax(1), probabilities.shape[1]
    errors = ce.find_errors(probabilities, labels, class_names=list("abcde"[:classes]))
    assert errors.indices.tolist() == np.flatnonzero(guesses != labels).tolist()
    highest, own = probabilities.max(1), probabilities[np.arange(len(labels)), labels]
    keys = {"confidence": -highest, "loss": np.log(own), "margin": own - highest}[by]
    assert errors.ranked(by).indices.tolist() == sorted(errors.indices.tolist(), key=lambda i: (keys[i], i))
    for true, predicted in permutations(range(classes), 2):
        some = errors.filtered(true=true, predicted="abcde"[predicted])
        assert some.indices.tolist() == np.flatnonzero((labels == true) & (guesses == predicted)).tolist()


def test_samples_are_drawn_by_seed_without_replacement():
    probabilities, labels = np.tile([[0.9, 0.1]], (50, 1)), np.ones(50, int)
    errors = ce.find_errors(probabilities, labels)
    one, again, other = (errors.sample(10, seed=seed).indices.tolist() for seed in (3, 3, 4))
    assert one == again == sorted(set(one)) != other
    assert [len(errors.sample(count)) for count in (0, 10, 99)] == [0, 10, 50]


@given(predictions(tied=True) | predictions())
@settings(deadline=None)  # the first example imports scikit-learn
def test_metrics_agree_with_torch_and_scikit_learn(case):
    sk = pytest.importorskip("sklearn.metrics", reason="the oracle comes with grad-cam")
    probabilities, labels = case
    guesses, classes = probabilities.argmax(1), probabilities.shape[1]
    result = ce.Evaluation(probabilities, labels)
    log = torch.from_numpy(probabilities).log().clamp_min(np.log(np.finfo(np.float64).tiny))
    assert result.loss == pytest.approx(torch.nn.functional.nll_loss(log, torch.from_numpy(labels)).item())
    assert result.accuracy == (guesses == labels).mean()
    matrix = ce.confusion_matrix(labels, guesses, classes=classes)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, guesses, labels=range(classes)))
    pairs = ce.most_confused(matrix, count=classes**2)
    assert sum(pair.count for pair in pairs) == (labels != guesses).sum()
    assert all(one.count >= other.count > 0 for one, other in pairwise(pairs))
    ks = [ce.top_k_accuracy(probabilities, labels, k=k) for k in range(1, classes + 1)]
    assert ks[0] == result.accuracy
    assert ks == sorted(ks)
    assert ks[-1] == 1
    known = sk.precision_recall_fscore_support(labels, guesses, labels=range(classes), zero_division=np.nan)
    reports = ce.class_reports(matrix)
    got = [[getattr(report, key) for report in reports] for key in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(got, known)


@given(predictions(tied=True) | predictions(), st.integers(1, 20), st.booleans(), st.randoms())
def test_reliability_counts_every_image_once_in_any_order(case, bins, adaptive, random):
    probabilities, labels = case
    confidences, right = probabilities.max(1), probabilities.argmax(1) == labels
    curve = ce.reliability_curve(probabilities, labels, bins=bins, adaptive=adaptive)
    assert curve.counts.sum() == len(labels)
    assert (curve.counts > 0).all()
    assert len(curve.counts) <= bins
    assert not adaptive or len(np.unique(confidences)) < len(labels) or np.ptp(curve.counts) <= 1
    assert (np.diff(curve.confidences) > 0).all()
    assert (curve.counts * curve.accuracies).sum() == pytest.approx(right.sum())
    assert (curve.counts * curve.confidences).sum() == pytest.approx(confidences.sum())
    order = random.sample(range(len(labels)), len(labels))
    again = ce.reliability_curve(probabilities[order], labels[order], bins=bins, adaptive=adaptive)
    assert again.counts.tolist() == curve.counts.tolist()
    # Jensen: one bin is the least strict.
    assert abs(confidences.mean() - right.mean()) - 1e-9 <= curve.calibration_error <= 1
    # Bins of equal width by brute force.
    inside = [(confidences > b / bins) & (confidences <= (b + 1) / bins) for b in range(bins)]
    expected = sum(abs((right[one] - confidences[one]).sum()) for one in inside) / len(labels)
    got = ce.expected_calibration_error(probabilities, labels, bins=bins, adaptive=False)
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_fitted_temperature_undoes_a_known_one(temperature):
    generator = np.random.default_rng(1)
    honest = generator.dirichlet([0.5] * 3, 20_000)
    labels = (generator.random((20_000, 1)) > honest.cumsum(1)).sum(1)
    # Dividing by 1 / t multiplies the logits by t, so t has to come out.
    skewed = ce.apply_temperature(honest, 1 / temperature)
    fitted = ce.fit_temperature(skewed, labels)
    assert fitted == pytest.approx(temperature, rel=0.05)
    low, at, high = (ce.apply_temperature(skewed, fitted * factor) for factor in (0.97, 1, 1.03))
    assert ce.label_losses(at, labels).mean() < min(
        ce.label_losses(one, labels).mean() for one in (low, high)
    )


def test_temperatures_stay_within_their_bounds():
    sure = np.array([[0.9, 0.1]] * 3)
    assert ce.fit_temperature(sure, [1, 1, 1]) == pytest.approx(100)
    assert np.isfinite(ce.fit_temperature([[1.0, 0.0], [1.0, 0.0]], [0, 1]))
    # One error in a thousand, where the model hardly prefers its class.
    unsure = np.array([[0.501, 0.499]] * 1000)
    assert ce.fit_temperature(unsure, [0] * 999 + [1]) == pytest.approx(0.01)
    # Without an error no probability changes.
    assert ce.fit_temperature([[0.9, 0.1], [0.3, 0.7]], [0, 1]) == 1.0
