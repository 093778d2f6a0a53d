"""Running a model over many images, in micro-batches, and what comes out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.cam.explain import Progress
from cifar_explain.evaluation.calibration import softmax
from cifar_explain.inference import on_device_of, private_view
from cifar_explain.validation import (
    as_class_names,
    as_images,
    as_labels,
    as_logits,
    as_probabilities,
    check_count,
)

#: Images per forward pass: enough to keep a few cores busy, few enough for activations to stay in their cache.
BATCH_SIZE = 100


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The probabilities that a model gives to labelled images.

    Args:
        probabilities: `(N, K)`, each row a distribution.
        labels: True class of each image, `(N,)`.
        class_names: The K names; without them the indices as text.

    Raises:
        ValueError: If the shapes or values do not fit together.

    >>> result = Evaluation([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    >>> result.predictions, result.accuracy, round(result.loss, 3)
    (array([0, 0]), 0.5, 0.511)
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    class_names: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        probabilities = as_probabilities(self.probabilities)
        count, classes = probabilities.shape
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "labels", as_labels(self.labels, count=count, classes=classes))
        names = as_class_names(tuple(self.class_names) or None, classes=classes)
        object.__setattr__(self, "class_names", names)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable class of each image, `(N,)`; the first of equals."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of the images whose prediction is their label, in [0, 1]."""
        return float((self.predictions == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(label_losses(self.probabilities, self.labels).mean())


def label_losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's cross-entropy, `-ln p(label)`, in nats; `(N,)`.

    A probability of 0 counts as the smallest normal number of its precision, so that losses stay finite: 708
    nats for float64.

    Raises:
        ValueError: If the shapes or values do not fit together.

    >>> label_losses([[0.5, 0.5], [1.0, 0.0]], [1, 0]).round(3)
    array([0.693, 0.   ])
    """
    rows = as_probabilities(probabilities)
    chosen = as_labels(labels, count=len(rows), classes=rows.shape[1])
    # Not `-log`: the loss of a certain and right prediction is 0, not -0.
    return 0 - np.log(np.maximum(rows[np.arange(len(rows)), chosen], np.finfo(np.float64).tiny))


def predict_logits(
    model: nn.Module,
    images: Any,
    *,
    preprocess: Callable[[Any], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return what the model gives to each image before any softmax, in double precision, `(N, K)`.

    The model runs in evaluation mode through a private view, as in `explain`; its own modes stay.

    Args:
        model: Any module that gives logits `(N, K)`.
        images: Normalised images `(N, C, H, W)`, or whatever `preprocess` takes: anything with a length whose
            slices it understands, such as a memory-mapped uint8 array.
        preprocess: Makes normalised images `(n, C, H, W)` of a slice of `images`, micro-batch by micro-batch.
        batch_size: Images per micro-batch; the result does not depend on it, up to rounding.
        progress: Called with the images done and all images.

    Raises:
        ValueError: If there are no images, a micro-batch is not finite and floating-point `(n, C, H, W)`, or
            the model does not return finite logits `(n, K)`.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    >>> predict_logits(model, torch.zeros(5, 3, 8, 8), batch_size=2).shape
    (5, 4)
    """
    check_count("batch_size", batch_size)
    if not len(images):
        raise ValueError("images must be at least one, got none")
    view, _ = private_view(model)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            inputs = on_device_of(view, as_images(batch if preprocess is None else preprocess(batch)))
            logits = as_logits(view(inputs), len(batch))
            parts.append(logits.double().cpu().numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))
    return np.concatenate(parts)


def predict_probabilities(
    model: nn.Module,
    images: Any,
    *,
    preprocess: Callable[[Any], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the softmax of the model's logits in double precision, `(N, K)`.

    Arguments and `Raises:` are those of `predict_logits`.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    >>> predict_probabilities(model, torch.zeros(5, 3, 8, 8)).sum(axis=1).round(6)
    array([1., 1., 1., 1., 1.])
    """
    return softmax(
        predict_logits(model, images, preprocess=preprocess, batch_size=batch_size, progress=progress)
    )


def evaluate(
    model: nn.Module,
    images: Any,
    labels: Any,
    *,
    class_names: Sequence[str] | None = None,
    preprocess: Callable[[Any], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the probabilities of labelled images, from which errors, metrics and calibration follow.

    Args:
        model: Any module that gives logits `(N, K)`.
        images: As in `predict_logits`.
        labels: True class indices `(N,)`.
        class_names: The K names.
        preprocess: As in `predict_logits`.
        batch_size: Images per micro-batch.
        progress: Called with the images done and all images.

    Raises:
        ValueError: As `predict_logits` does, and if labels or names do not fit the images and logits.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    >>> evaluate(model, torch.zeros(5, 3, 8, 8), [0, 1, 2, 3, 0]).labels
    array([0, 1, 2, 3, 0])
    """
    if np.shape(labels) != (len(images),):
        raise ValueError(f"labels must be {len(images)} class indices, got the shape {np.shape(labels)}")
    probabilities = predict_probabilities(
        model, images, preprocess=preprocess, batch_size=batch_size, progress=progress
    )
    return Evaluation(probabilities, labels, class_names or ())
