"""Predictions of a model for many images, in micro-batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.evaluation.calibration import softmax
from cifar_explain.evaluation.metrics import label_losses
from cifar_explain.inference import BATCH_SIZE, EvaluationMode, Progress, as_inputs_of, private_view
from cifar_explain.validation import as_class_names, as_images, as_logits, as_predictions, check_count


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The probabilities that a model gives to labelled images.

    Probabilities are `(N, K)`, labels the true classes `(N,)`; without class names the K indices as text serve.

    >>> result = Evaluation([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    >>> result.predictions, result.accuracy, round(result.loss, 3)
    (array([0, 0]), 0.5, 0.511)
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        probabilities, labels = as_predictions(self.probabilities, self.labels)
        names = as_class_names(tuple(self.class_names) or None, classes=probabilities.shape[1])
        for name, value in (("probabilities", probabilities), ("labels", labels), ("class_names", names)):
            object.__setattr__(self, name, value)

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


def predict_logits(
    model: nn.Module,
    images: Any,
    *,
    preprocess: Callable[[Any], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Returns the logits of each image in double precision, `(N, K)`, with the model in evaluation mode.

    Images are normalised, `(N, C, H, W)`, or anything with a length of whose slices `preprocess` makes such images, as
    of a memory-mapped uint8 array. Up to rounding, the result does not depend on `batch_size`, the images per
    micro-batch. Progress is called with the images done and all images.
    """
    check_count("batch_size", batch_size)
    if not len(images):
        raise ValueError("images must be at least one, got none")
    view, _ = private_view(model)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            inputs = as_inputs_of(view, as_images(batch if preprocess is None else preprocess(batch)))
            with EvaluationMode():
                logits = as_logits(view(inputs), len(batch))
            parts.append(logits.double().cpu().numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))
    return np.concatenate(parts)


def predict_probabilities(model: nn.Module, images: Any, **options: Any) -> NDArray[np.float64]:
    """Returns the softmax of the logits in double precision, `(N, K)`; options are those of `predict_logits`."""
    return softmax(predict_logits(model, images, **options))


def evaluate(
    model: nn.Module, images: Any, labels: Any, *, class_names: Sequence[str] | None = None, **options: Any
) -> Evaluation:
    """Returns the probabilities of labelled images, from which errors, metrics and calibration follow.

    Labels are class indices `(N,)`; options are those of `predict_logits`.
    """
    if np.shape(labels) != (len(images),):
        raise ValueError(f"labels must be {len(images)} class indices, got the shape {np.shape(labels)}")
    return Evaluation(predict_probabilities(model, images, **options), labels, class_names or ())
