"""ROAD: pytorch-grad-cam's numbers, and an answer that is known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_grad_cam.metrics import perturbation_confidence as library
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch import nn

from cifar_explain import RANDOM, Versus, explain, measure_faithfulness
from cifar_explain.cam.faithfulness import impute, ranked_map

pytestmark = pytest.mark.numeric

# pytorch-grad-cam's own imputer, the oracle, gives tensors to NumPy functions; ours does not.
library_warns = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")


class Corner(nn.Module):
    """Knows class 1 by the red of the upper left quarter and looks at nothing else."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.zeros_(self.conv.weight)
        nn.init.ones_(self.conv.weight[:, :1])

    def forward(self, x):
        red = self.conv(x)[:, 0, :6, :6].mean((1, 2))
        return torch.stack([torch.zeros_like(red), 4 * red - 2], dim=1)


@pytest.fixture
def corners():
    """Red in the upper left quarter, with texture everywhere so that imputing does not bring it back."""
    images = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.2
    images[:, 0, :6, :6] += 1
    return images


@pytest.mark.parametrize("target", [1, Versus(1, 0)])
def test_faithful_maps_score_above_random_ones(target, corners):
    rows = measure_faithfulness(Corner(), corners, layers="conv", methods=["hirescam"], target=target)
    baseline, hirescam = rows
    assert (baseline.method, hirescam.method) == (RANDOM, "hirescam")
    assert hirescam.mean > 0.2
    assert abs(baseline.mean) < hirescam.mean / 2
    difference, error = hirescam.advantage_over(baseline)
    assert difference == pytest.approx(hirescam.mean - baseline.mean)
    assert difference > 4 * error > 0
    with pytest.raises(ValueError, match="other must have 6 scores, got 5"):
        hirescam.advantage_over(replace(baseline, scores=baseline.scores[1:]))


@library_warns
def test_scores_equal_pytorch_grad_cam_without_ties_and_noise(corners, monkeypatch):
    monkeypatch.setitem(impute.__kwdefaults__, "noise", 0.0)
    model, options = Corner().eval(), {"layers": "conv", "target": 1}
    rows = measure_faithfulness(model, corners, methods="hirescam", percentiles=(20, 60), seed=4, **options)
    generator = np.random.default_rng([4, 0])
    heat = explain(model, corners, method="hirescam", **options)[:, 0]
    ranks = np.stack([ranked_map(one, generator) for one in heat])
    targets = [lambda logits: logits.softmax(-1)[1]] * 6
    expected = 0
    for name, sign in (("RemoveLeastRelevantFirst", 1), ("RemoveMostRelevantFirst", -1)):
        for percentile in (20, 60):
            removal = getattr(library, name)(percentile, NoisyLinearImputer(noise=0))
            metric = library.PerturbationConfidenceMetric(removal)
            expected += sign * metric(corners, ranks, targets, model) / 4
    np.testing.assert_allclose(rows[1].scores, expected, atol=1e-6)


@library_warns
def test_imputing_equals_pytorch_grad_cam_without_noise_and_keeps_the_rest():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    mask = (torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) > 0.6).float()
    plain = impute(np.random.default_rng(0), image, mask, noise=0)
    np.testing.assert_allclose(plain, NoisyLinearImputer(noise=0)(image, mask), atol=1e-6)
    noisy = impute(np.random.default_rng(0), image, mask)
    assert torch.equal(noisy[:, mask > 0], image[:, mask > 0])
    assert 0.005 < (noisy - plain)[:, mask == 0].std() < 0.02
    assert impute(np.random.default_rng(0), image[:1], mask).shape == (1, 8, 8)


@given(st.integers(0, 2**32), st.integers(2, 30))
def test_ranks_keep_the_order_and_are_all_different(seed, size):
    heat = np.random.default_rng(seed).integers(0, 3, (size, 2)).astype(np.float32)
    ranks = ranked_map(heat, np.random.default_rng(1))
    assert len(np.unique(ranks)) == ranks.size
    assert (ranks.min(), ranks.max()) == (0, 1)
    for low in (0, 1):
        below, above = ranks[heat <= low], ranks[heat > low]
        assert not below.size or not above.size or below.max() < above.min()


def test_rows_come_by_layer_and_are_repeated_by_the_seed(model, images, names, trace_of):
    arguments = {"methods": ["gradcam", "eigencam"], "percentiles": [50], "class_names": names}
    before = trace_of(model)
    rows = measure_faithfulness(model, images, target="cat", **arguments)
    assert trace_of(model) == before
    assert [(row.layer, row.method, row.map_size) for row in rows] == [
        (layer, method, size)
        for layer, size in {"stem": (12, 16), "middle": (6, 8), "deep": (6, 8)}.items()
        for method in (RANDOM, "gradcam", "eigencam")
    ]
    again = measure_faithfulness(model, images, target=0, **arguments)
    other = measure_faithfulness(model, images, target=0, seed=1, **arguments)
    for row, same, different in zip(rows, again, other, strict=True):
        np.testing.assert_array_equal(row.scores, same.scores)
        assert (row.scores != different.scores).any()
        assert np.abs(row.scores).max() <= 1
        assert row.standard_error == pytest.approx(np.std(row.scores, ddof=1) / 5**0.5)


def test_difference_of_classes_is_measured_under_inference_mode(model, images):
    with torch.inference_mode():
        options = {"layers": "deep", "methods": "gradcam"}
        rows = measure_faithfulness(model, images[:1] + 0, target=Versus(0, 1), **options)
    assert np.isnan(rows[0].standard_error)
    assert np.isfinite(rows[1].mean)
