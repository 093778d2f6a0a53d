"""What there is to find out about a trained model: its predictions, its errors, its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cifar_data import CIFAR10DataModule
from cifar_explain import (
    Errors,
    Evaluation,
    Faithfulness,
    Familiarity,
    HumanView,
    explain,
    find_errors,
    find_layers,
    fit_familiarity,
    measure_faithfulness,
    predict_logits,
)
from cifar_models import Weights, fold_batch_norms
from cifar_train.report.human_labels import HumanAnswers
from cifar_train.runs.calibration import FALSE_ALARM_RATE, check_data, validation_logits

#: Misclassified images that the report shows.
SHOWN_ERRORS = 10

#: Methods whose maps are put to the test beside random ones.
TESTED_METHODS = ("gradcam", "hirescam", "layercam")

#: Test images that the maps are put to the test on; each costs a second or so, all layers and methods together.
TESTED_IMAGES = 24

#: Told what is being done.
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ErrorMaps:
    """Some misclassified images with the maps of every layer.

    Args:
        errors: Which, E of them.
        images: uint8 ``(E, H, W, 3)``.
        predicted: For the predicted class, ``(E, L, H, W)`` in [0, 1].
        true: For the true class, the same.
    """

    errors: Errors
    images: NDArray[np.uint8]
    predicted: NDArray[np.float32]
    true: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything a report shows about the weights.

    Args:
        test: Probabilities on the test set, one view.
        flip_accuracy: Accuracy there when the logits of an image and its mirror image are added, in [0, 1].
        validation: Probabilities on the validation split; None where there is none.
        familiarity: What was fitted on the validation split; None where there is none.
        human: What people say about each test error; None if nobody was asked.
        shown: The errors that are looked at closely.
        layers: Height and width of the explained layers' maps, by name, in the model's order.
        faithfulness: For each layer its random maps first, then each method.
    """

    test: Evaluation
    flip_accuracy: float
    validation: Evaluation | None
    familiarity: Familiarity | None
    human: HumanView | None
    shown: ErrorMaps
    layers: dict[str, tuple[int, int]]
    faithfulness: tuple[Faithfulness, ...]

    @property
    def errors(self) -> Errors:
        """All test errors, by index."""
        return find_errors(self.test.probabilities, self.test.labels, class_names=self.test.class_names)


def find_out(
    weights: Weights,
    datamodule: CIFAR10DataModule,
    *,
    people: HumanAnswers | None = None,
    say: Say = lambda _: None,
) -> Findings:
    """Run the model over validation split and test set, and explain some of its errors.

    Args:
        weights: The model; its classes and normalisation must be those of the data.
        datamodule: The data.
        people: What people said about the test images.
        say: Told what is being done.

    Raises:
        ValueError: If model and data do not fit.
    """
    check_data(weights, datamodule)
    spec, test = weights.spec, datamodule.dataset.test
    say("predictions on the validation split and the test set")
    familiarity, validation = None, None
    if datamodule.val_size:
        logits, labels = validation_logits(weights.model, datamodule, spec)
        validation = Evaluation(_softmax(logits), labels, spec.classes)
        familiarity = fit_familiarity(logits, labels, false_alarm_rate=FALSE_ALARM_RATE)
    network = fold_batch_norms(weights.model)
    logits = predict_logits(network, test.images, preprocess=spec.normalize)
    mirrored = predict_logits(network, test.images, preprocess=lambda x: spec.normalize(x).flip(3))
    labels = np.asarray(test.labels, np.int64)
    evaluation = Evaluation(_softmax(logits), labels, spec.classes)
    errors = find_errors(evaluation.probabilities, labels, class_names=spec.classes)
    say(f"maps of {min(SHOWN_ERRORS, len(errors))} of {len(errors)} misclassified images")
    layers = tuple(find_layers(weights.model))
    shown = _explain_errors(weights, choose_errors(errors), test.images, layers)
    say(f"faithfulness of the maps on {min(TESTED_IMAGES, len(labels))} test images")
    rows = measure_faithfulness(
        weights.model,
        spec.normalize(_sample(test.images, TESTED_IMAGES)),
        layers=layers,
        methods=TESTED_METHODS,
    )
    return Findings(
        test=evaluation,
        flip_accuracy=float(((logits + mirrored).argmax(axis=1) == labels).mean()),
        validation=validation,
        familiarity=familiarity,
        human=people.judge(errors) if people else None,
        shown=shown,
        layers={row.layer: row.map_size for row in rows},
        faithfulness=rows,
    )


def choose_errors(errors: Errors, *, count: int = SHOWN_ERRORS) -> Errors:
    """The surest errors, at most one for each pair of true and predicted class while pairs last.

    >>> errors = find_errors([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [1, 1, 0, 1])
    >>> choose_errors(errors, count=3).indices
    array([0, 2, 1])
    """
    ranked = errors.ranked("confidence")
    seen: dict[tuple[int, int], int] = {}
    turns = []
    for pair in zip(ranked.labels.tolist(), ranked.predictions.tolist(), strict=True):
        turns.append(seen.get(pair, 0))
        seen[pair] = turns[-1] + 1
    return ranked.take(np.argsort(np.array(turns, np.int64), kind="stable")[:count])


def _explain_errors(weights: Weights, errors: Errors, images: Any, layers: tuple[str, ...]) -> ErrorMaps:
    photos = np.asarray(images[errors.indices])
    shape = (0, len(layers), *photos.shape[1:3])
    if not len(errors):
        return ErrorMaps(errors, photos, np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    inputs: Tensor = weights.spec.normalize(photos)
    return ErrorMaps(
        errors,
        photos,
        predicted=explain(weights.model, inputs, layers=layers, target=errors.predictions.tolist()),
        true=explain(weights.model, inputs, layers=layers, target=errors.labels.tolist()),
    )


def _sample(images: Any, count: int) -> NDArray[np.uint8]:
    indices = np.sort(np.random.default_rng(0).permutation(len(images))[:count])
    return np.asarray(images[indices])


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    # As the gallery keeps them, so that both count the same errors, whatever the rounding does to near ties.
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
