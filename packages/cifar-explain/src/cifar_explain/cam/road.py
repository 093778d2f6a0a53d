"""Removing pixels in the order of a map, with pytorch-grad-cam's ROAD and a random generator of our own."""

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.cam.targets import Score


def road_scores(
    view: nn.Module,
    images: Tensor,
    maps: NDArray[np.float32],
    scores: Sequence[Score],
    percentiles: Sequence[float],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the combined ROAD score of each image, `(N,)`, in [-1, 1].

    Args:
        view: A private view of the model.
        images: Images `(N, C, H, W)` on the model's device.
        maps: A map for each, `(N, H, W)`.
        scores: The class, or the two classes, whose softmax probability is looked at, for each.
        percentiles: Shares of the pixels to keep, in percent.
        generator: Decides on ties and noise.
    """
    metrics = _library("perturbation_confidence")
    ranks = np.stack([ranked_map(heat, generator) for heat in maps])
    targets = [_confidence(score) for score in scores]
    gains = []
    for percentile in percentiles:
        least, most = (
            metrics.PerturbationConfidenceMetric(removal(percentile, Imputer(generator)))(
                images, ranks, targets, view, return_diff=False
            )
            for removal in (metrics.RemoveLeastRelevantFirst, metrics.RemoveMostRelevantFirst)
        )
        gains.append((least.astype(np.float64) - most) / 2)
    return np.mean(gains, axis=0)


def ranked_map(heat: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.float32]:
    """Return the order of a map's values, spread evenly over [0, 1]; equals in random order.

    Maps have large areas of exactly 0, which a threshold would remove all at once or not at all.

    >>> ranked_map(np.array([[0.1, 0.9], [0.5, 0.2]]), np.random.default_rng(0))
    array([[0.        , 1.        ],
           [0.6666667 , 0.33333334]], dtype=float32)
    """
    order = np.lexsort((generator.random(heat.size), heat.ravel()))
    ranks = np.empty(heat.size, np.float32)
    ranks[order] = np.linspace(0, 1, heat.size, dtype=np.float32)
    return ranks.reshape(heat.shape)


class Imputer:
    """ROAD's noisy linear imputation with pytorch-grad-cam's equations and a generator of its own.

    The library's own class draws its noise from the process's generator.

    Args:
        generator: Where the noise comes from.
        noise: Its standard deviation, in the units of the normalised images; ROAD's is 0.01.
    """

    def __init__(self, generator: np.random.Generator, *, noise: float = 0.01) -> None:
        self.generator = generator
        self.noise = noise

    def __call__(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image `(C, H, W)` with the pixels where the mask `(H, W)` is 0 filled from around."""
        road = _library("road")
        missing = np.flatnonzero(mask.numpy().ravel() == 0)
        matrix, right = road.NoisyLinearImputer.setup_sparse_system(
            mask.numpy(), image.numpy(), road.neighbors_weights
        )
        values = road.spsolve(road.csc_matrix(matrix), right).reshape(len(missing), len(image)).T
        values += self.noise * self.generator.standard_normal(values.shape)
        filled = image.flatten(1).clone()
        filled[:, missing] = torch.from_numpy(values).to(filled.dtype)
        return filled.reshape_as(image)


def _confidence(score: Score) -> Callable[[Tensor], Tensor]:
    return lambda logits: score(logits.float().softmax(dim=-1))


@functools.cache
def _library(name: str) -> Any:
    # Imported when first needed, as in `methods`.
    return importlib.import_module(f"pytorch_grad_cam.metrics.{name}")
