"""Which map to believe: ROAD, the change of the model's confidence when pixels go by a map's order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.cam.explain import Progress, explain, run_layers
from cifar_explain.cam.layers import Layer, find_layers
from cifar_explain.cam.methods import check_method
from cifar_explain.cam.overlay import enlarge_map
from cifar_explain.cam.road import road_scores
from cifar_explain.cam.targets import Classes, Score, Versus, resolve_target
from cifar_explain.evaluation.evaluate import BATCH_SIZE
from cifar_explain.inference import on_device_of, private_view
from cifar_explain.validation import as_images, check_count

#: The method name under which random maps are scored.
RANDOM = "random"

#: Shares of the pixels that are kept, in percent.
PERCENTILES: tuple[float, ...] = (10, 30, 50, 70, 90)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The ROAD scores of one method on one layer.

    Args:
        method: Name of the method, or `RANDOM`.
        layer: Name of the layer.
        map_size: Height and width of the layer's output, before the map is enlarged.
        scores: One for each image, `(N,)`, in [-1, 1]: how much more of the confidence is left when the
            least important pixels are removed than when the most important ones are, halved. 0 is what
            chance gives on average.
    """

    method: str
    layer: str
    map_size: tuple[int, int]
    scores: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean score of the images."""
        return float(self.scores.mean())

    @property
    def spread(self) -> float:
        """Standard deviation between images (with `N - 1`); NaN for one image."""
        return float(self.scores.std(ddof=1)) if len(self.scores) > 1 else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; NaN for one image."""
        return self.spread / math.sqrt(len(self.scores))

    def advantage_over(self, other: "Faithfulness") -> tuple[float, float]:
        """Return the mean difference of the scores, image by image, and its standard error.

        An advantage over the random maps of less than two standard errors is no reason to believe a map.

        Raises:
            ValueError: If the other was not measured on equally many images.

        >>> one, other = (Faithfulness("gradcam", "conv", (4, 4), np.array([x, 0.5])) for x in (0.3, 0.1))
        >>> one.advantage_over(other)
        (0.09999999999999999, 0.09999999999999999)
        """
        if len(self.scores) != len(other.scores):
            raise ValueError(f"other must have {len(self.scores)} scores, got {len(other.scores)}")
        paired = Faithfulness(self.method, self.layer, self.map_size, self.scores - other.scores)
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
    progress: Progress | None = None,
) -> tuple[Faithfulness, ...]:
    """Return how faithful each method's map of each layer is, and random maps of the same sizes.

    Pixels are removed in the order of the map, by filling them from their neighbours with a little noise, and
    the softmax probability of the target is looked at (for a `Versus`, the difference of two). Equal values
    of a map are ordered at random, so that each map has equally many pixels removed. For small images: one
    removal on 32x32 takes some milliseconds, and there are two for each image, map and percentile.

    Args:
        model: As in `explain`.
        images: Normalised images `(N, C, H, W)`.
        layers: As in `explain`.
        methods: Names of `METHODS`; random maps are always added.
        target: As in `explain`.
        class_names: As in `explain`.
        percentiles: Shares of the pixels to keep, in percent, between 0 and 100; the scores are averaged.
        seed: Decides on noise, ties and random maps.
        progress: Called with the maps done and all maps, each for a batch of images.

    Returns:
        For each layer in turn, its random maps first, then its methods in the order given.

    Raises:
        ValueError: As `explain` does; or if no method or percentile is given, or one is out of range.

    Source:
        Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD), 2022;
        J. Gildenblat and contributors, pytorch-grad-cam, whose classes do the removing and its `ROADCombined`
        the combining: half of least important first minus most important first.

    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> rows = measure_faithfulness(model, torch.rand(2, 3, 8, 8), layers="0", methods=["gradcam"])
    >>> [(row.method, row.layer, row.map_size, len(row.scores)) for row in rows]
    [('random', '0', (6, 6), 2), ('gradcam', '0', (6, 6), 2)]
    """
    methods = [methods] if isinstance(methods, str) else list(methods)
    if not methods or len(set(methods)) != len(methods):
        raise ValueError(f"methods must be at least one, each once, got {methods}")
    for method in methods:
        check_method(method)
    kept = _checked_percentiles(percentiles)
    check_count("seed", seed, minimum=0)
    inputs = as_images(images)
    found = find_layers(model, layers)
    with torch.inference_mode(False), torch.no_grad():
        view, copies = private_view(model)
        inputs = on_device_of(view, inputs)
        viewed = {name: copies[id(layer)] for name, layer in found.items()}
        sizes = {
            name: (int(output.shape[2]), int(output.shape[3]))
            for name, output in run_layers(view, inputs[:1], viewed)[1].items()
        }
        scores = _all_scores(view, inputs, target, class_names)
        return _measure(view, inputs, viewed, sizes, methods, scores, kept, seed, progress)


def _measure(
    view: nn.Module,
    images: Tensor,
    layers: dict[str, nn.Module],
    sizes: dict[str, tuple[int, int]],
    methods: Sequence[str],
    scores: Sequence[Score],
    percentiles: Sequence[float],
    seed: int,
    progress: Progress | None,
) -> tuple[Faithfulness, ...]:
    rows = [RANDOM, *methods]
    results: dict[tuple[str, str], list[NDArray[np.float64]]] = {
        (layer, row): [] for layer in layers for row in rows
    }
    done, total = 0, len(results) * -(-len(images) // BATCH_SIZE)
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        own = scores[start : start + BATCH_SIZE]
        for row in rows:
            generator = np.random.default_rng([seed, start])
            if row == RANDOM:
                maps = _random_maps(len(batch), sizes, batch, generator)
            else:
                maps = _explained(view, batch, list(layers.values()), row, own)
            for number, layer in enumerate(layers):
                results[layer, row].append(
                    road_scores(view, batch, maps[:, number], own, percentiles, generator)
                )
                done += 1
                if progress is not None:
                    progress(done, total)
    return tuple(
        Faithfulness(row, layer, sizes[layer], np.concatenate(parts))
        for (layer, row), parts in results.items()
    )


def _random_maps(
    count: int, sizes: dict[str, tuple[int, int]], images: Tensor, generator: np.random.Generator
) -> NDArray[np.float32]:
    # As coarse as the layer's own maps, since coarse maps score with a wider spread.
    full = (images.shape[2], images.shape[3])
    drawn = [[enlarge_map(generator.random(size), full) for size in sizes.values()] for _ in range(count)]
    return np.array(drawn, np.float32)


def _all_scores(
    view: nn.Module, images: Tensor, target: Classes | Versus, class_names: Sequence[str] | None
) -> list[Score]:
    parts = [
        run_layers(view, images[start : start + BATCH_SIZE], {})[0]
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return resolve_target(target, torch.cat(parts), class_names=class_names)


def _explained(
    view: nn.Module, images: Tensor, layers: list[nn.Module], method: str, scores: Sequence[Score]
) -> NDArray[np.float32]:
    target: Any = [score.target for score in scores]
    if scores[0].against is not None:
        target = Versus(target, [score.against for score in scores if score.against is not None])
    return explain(view, images, layers=layers, method=method, target=target)


def _checked_percentiles(percentiles: Sequence[float]) -> list[float]:
    values = [float(value) for value in np.atleast_1d(percentiles)]
    if not values or not all(0 < value < 100 for value in values):
        raise ValueError(f"percentiles must be at least one, between 0 and 100, got {values}")
    return values
