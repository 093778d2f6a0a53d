"""Faithfulness of maps (ROAD): the change of a model's confidence when pixels are removed in a map's order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.cam.explain import METHODS, explain, run_layers
from cifar_explain.cam.overlay import upsample_map
from cifar_explain.cam.targets import Classes, Layer, Versus, find_layers, resolve_target, score
from cifar_explain.inference import BATCH_SIZE, as_inputs_of, private_view
from cifar_explain.validation import as_images, check_choice, check_count

#: The method name under which random maps are scored.
RANDOM = "random"

#: Shares of the pixels that are kept, in percent.
PERCENTILES: tuple[float, ...] = (10, 30, 50, 70, 90)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The ROAD scores of one method, of `METHODS` or `RANDOM`, on one layer, whose output has the size `map_size`.

    There is one for each image, `(N,)`, in [-1, 1]: half of how much more confidence is left when the least important
    pixels are removed than when the most important ones are; 0 on average for random maps.
    """

    method: str
    layer: str
    map_size: tuple[int, int]
    scores: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return float(self.scores.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean (with `N - 1`); NaN for one image."""
        count = len(self.scores)
        return float(self.scores.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan

    def advantage_over(self, other: "Faithfulness") -> tuple[float, float]:
        """Returns the mean difference of the scores, image by image, and its standard error.

        An advantage over the random maps of less than two standard errors is no reason to believe a map.
        """
        if len(self.scores) != len(other.scores):
            raise ValueError(f"other must have {len(self.scores)} scores, got {len(other.scores)}")
        paired = replace(self, scores=self.scores - other.scores)
        return paired.mean, paired.standard_error


def measure_faithfulness(
    model: nn.Module,
    images: Tensor | NDArray[np.floating],
    *,
    layers: Layer | Sequence[Layer] | None = None,
    methods: Sequence[str] = ("gradcam", "hirescam", "layercam"),
    target: Classes | Versus = "predicted",
    class_names: Sequence[str] | None = None,
    percentiles: Sequence[float] = PERCENTILES,
    seed: int = 0,
) -> tuple[Faithfulness, ...]:
    """Returns how faithful the maps of each layer are: first random maps of its size, then the methods as given.

    Pixels are removed in the order of the map, equal values at random, by filling them from their neighbours with
    a little noise. The confidence is the target's softmax probability (for a `Versus`, the difference of two). One
    removal takes milliseconds on 32x32; there are two for each image, map and percentile.

    The scores are averaged over `percentiles`, the shares of the pixels to keep, between 0 and 100. The seed
    decides on noise, ties and random maps. All other arguments are those of `explain`.

    Source: Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD), 2022, in
    pytorch-grad-cam's implementation, combined as in its `ROADCombined`.
    """
    methods = [methods] if isinstance(methods, str) else list(methods)
    if not methods or len(set(methods)) != len(methods):
        raise ValueError(f"methods must be at least one, each once, got {methods}")
    for method in methods:
        check_choice("method", method, METHODS)
    if not len(percentiles) or not all(0 < value < 100 for value in percentiles):
        raise ValueError(f"percentiles must be at least one, between 0 and 100, got {percentiles}")
    check_count("seed", seed, minimum=0)
    found = find_layers(model, layers)
    parts: dict[tuple[str, str], list[Any]] = {
        (layer, one): [] for layer in found for one in (RANDOM, *methods)
    }
    with torch.inference_mode(False), torch.no_grad():
        view, copies = private_view(model)
        viewed = {name: copies[id(layer)] for name, layer in found.items()}
        batches = torch.split(as_inputs_of(view, as_images(images)), BATCH_SIZE)
        outputs = run_layers(view, batches[0][:1], viewed)[1]
        sizes = {name: (output.shape[2], output.shape[3]) for name, output in outputs.items()}
        logits = torch.cat([run_layers(view, batch, {})[0] for batch in batches])
        classes = torch.split(resolve_target(target, logits, class_names), BATCH_SIZE)
        for number, (batch, own) in enumerate(zip(batches, classes, strict=True)):
            full = (batch.shape[2], batch.shape[3])
            for method in (RANDOM, *methods):
                generator = np.random.default_rng([seed, number * BATCH_SIZE])
                if method == RANDOM:
                    # As coarse as the layer's own maps, since coarse maps score with a wider spread.
                    drawn = [[generator.random(size) for size in sizes.values()] for _ in batch]
                    maps = np.array([[upsample_map(one, full) for one in row] for row in drawn])
                else:
                    asked = Versus(own[:, 0], own[:, 1]) if own.shape[1] == 2 else own[:, 0]
                    maps = explain(view, batch, layers=list(viewed.values()), method=method, target=asked)
                for column, layer in enumerate(found):
                    gains = road_scores(view, batch, maps[:, column], own, percentiles, generator)
                    parts[layer, method].append(gains)
    return tuple(Faithfulness(key[1], key[0], sizes[key[0]], np.concatenate(parts[key])) for key in parts)


def road_scores(
    view: nn.Module,
    images: Tensor,
    maps: NDArray[np.float32],
    classes: Tensor,
    percentiles: Sequence[float],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Returns the combined ROAD score of each image, `(N,)`, by its map `(N, H, W)`."""
    # Imported when first needed, as in `explain`.
    from pytorch_grad_cam.metrics import perturbation_confidence as metrics

    ranks = np.stack([ranked_map(heat, generator) for heat in maps])
    targets = [lambda logits, own=own: score(logits.float().softmax(dim=-1), own) for own in classes]
    gains = []
    for percentile in percentiles:
        least, most = (
            metrics.PerturbationConfidenceMetric(removal(percentile, partial(impute, generator)))(
                images, ranks, targets, view, return_diff=False
            )
            for removal in (metrics.RemoveLeastRelevantFirst, metrics.RemoveMostRelevantFirst)
        )
        gains.append((least.astype(np.float64) - most) / 2)
    return np.mean(gains, axis=0)


def ranked_map(heat: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.float32]:
    """Returns the order of a map's values, spread evenly over [0, 1]; equals in random order.

    Maps have large areas of exactly 0, which a threshold would remove all at once or not at all.
    """
    order = np.lexsort((generator.random(heat.size), heat.ravel()))
    ranks = np.empty(heat.size, np.float32)
    ranks[order] = np.linspace(0, 1, heat.size, dtype=np.float32)
    return ranks.reshape(heat.shape)


def impute(generator: np.random.Generator, image: Tensor, mask: Tensor, *, noise: float = 0.01) -> Tensor:
    """Returns the image `(C, H, W)` with the pixels where the mask `(H, W)` is 0 filled from around.

    ROAD's noisy linear imputation by pytorch-grad-cam's equations, whose class would draw the noise, in units of
    the normalised images, from the process's generator.
    """
    from pytorch_grad_cam.metrics import road

    missing = np.flatnonzero(mask.numpy().ravel() == 0)
    arrays = mask.numpy(), image.double().numpy()
    matrix, right = road.NoisyLinearImputer.setup_sparse_system(*arrays, road.neighbors_weights)
    values = road.spsolve(road.csc_matrix(matrix), right).reshape(len(missing), len(image)).T
    values += noise * generator.standard_normal(values.shape)
    filled = image.flatten(1).clone()
    filled[:, missing] = torch.from_numpy(values).to(filled.dtype)
    return filled.reshape_as(image)
