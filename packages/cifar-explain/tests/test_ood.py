"""Energies and the thresholds of what counts as out of distribution."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_explain import OODDetector, apply_temperature, energy_scores, fit_ood_detector, fit_temperature


@st.composite
def validation(draw, *, tied=False):
    """Logits (N, K) and labels; `tied` ones hold many equal rows."""
    count, classes = draw(st.integers(1, 60)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = generator.normal(size=(count, classes)) * draw(st.sampled_from([0.1, 3.0, 30.0]))
    if tied:
        logits = np.round(logits / 10)
    # Labels that mostly agree with the model.
    labels = np.where(generator.random(count) < 0.8, logits.argmax(1), generator.integers(0, classes, count))
    return logits, labels


@given(validation(), st.sampled_from([1, 1e6, 1e300]))
def test_energies_agree_with_torch(case, factor):
    logits = torch.from_numpy(factor * case[0])
    np.testing.assert_allclose(energy_scores(logits.numpy()), -logits.logsumexp(1), rtol=1e-9, atol=1e-9)
    rounded = torch.from_numpy(case[0]).bfloat16().requires_grad_()
    expected = -rounded.detach().double().logsumexp(1)
    np.testing.assert_allclose(energy_scores(rounded), expected, rtol=1e-9, atol=1e-9)


@given(validation(tied=True) | validation(), st.floats(0, 0.99))
@settings(deadline=None)
def test_no_more_validation_images_are_flagged_than_asked_for(case, rate):
    logits, labels = case
    fitted = fit_ood_detector(logits, labels, false_positive_rate=rate)
    assert fitted.false_positive_rate == fitted.is_ood(logits).mean() <= rate + 1e-12
    assert fitted.images == len(logits)
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    assert fitted.temperature == pytest.approx(fit_temperature(probabilities, labels))
    again = OODDetector.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted
    assert {type(value) for value in again.to_dict().values()} == {float, int}


@given(validation(), st.floats(0.05, 0.9))
@settings(deadline=None)
def test_thresholds_are_as_strict_as_the_rate_allows(case, rate):
    # By brute force: let each measure flag its k most doubtful images, for the greatest k that is allowed.
    logits, labels = case
    fitted = fit_ood_detector(logits, labels, false_positive_rate=rate)
    probabilities = torch.from_numpy(logits / fitted.temperature).softmax(1).numpy()
    unsure = np.argsort(probabilities.max(1), kind="stable")
    energetic = np.argsort(torch.logsumexp(torch.from_numpy(logits), 1).numpy())
    unions = [{*unsure[:k].tolist(), *energetic[:k].tolist()} for k in range(len(logits))]
    expected = [union for union in unions if len(union) <= rate * len(logits) + 1e-9][-1]
    flagged = set(np.flatnonzero(fitted.is_ood(logits)).tolist())
    # Saturated confidences tie, and of equals none is flagged.
    assert flagged == expected or len(np.unique(probabilities.max(1))) < len(logits)


def test_each_measure_finds_what_the_other_misses():
    limits = OODDetector(2.0, 0.6, -1.0, 0.05, 100)
    familiar, torn, faint = [8.0, 0.0, 0.0], [8.0, 8.0, 0.0], [-4.0, -20.0, -20.0]
    assert limits.is_ood([familiar, torn, faint]).tolist() == [False, True, True]
    assert energy_scores([torn])[0] < -1  # only its confidence gives it away
    assert apply_temperature([[1 - 1e-6, 1e-6]], 2.0).max() > 0.6  # only the energy of `faint` does
    # Of images that are all alike none is flagged.
    fitted = fit_ood_detector(np.tile([3.0, 0.0], (40, 1)), [0] * 30 + [1] * 10, false_positive_rate=0.5)
    assert fitted.is_ood([[3.0, 0.0], [0.5, 0.0]]).tolist() == [False, True]
