"""Analysis of trained weights: predictions, errors, calibration, class activation maps; computed once."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_data import CIFAR10DataModule
from cifar_explain import (
    ClassReport,
    Errors,
    Evaluation,
    Faithfulness,
    HumanView,
    OODDetector,
    apply_temperature,
    class_reports,
    confusion_matrix,
    expected_calibration_error,
    explain,
    find_errors,
    find_layers,
    fit_ood_detector,
    judge_errors,
    measure_faithfulness,
    most_confused,
    predict_logits,
    read_counts,
    read_rechecks,
    top_k_accuracy,
)
from cifar_models import Weights, fuse_conv_bn
from cifar_train.formatting import percent
from cifar_train.runs.export import check_weights, validation_logits

#: Misclassified images that the report shows.
SHOWN_ERRORS = 10
#: CAM methods compared with random maps.
TESTED_METHODS = ("gradcam", "hirescam", "layercam")
#: Test images whose maps are tested for faithfulness; each takes about a second for all layers and methods.
TESTED_IMAGES = 24
#: Returns what people say about each error.
People = Callable[[Errors], HumanView]


@dataclass(frozen=True)
class HumanFiles:
    """People's answers about the test images; either file may be missing.

    Args:
        counts: Annotators' votes, a row for each test image and a column for each class, such as CIFAR-10H's
            cifar10h-counts.npy.
        rechecks: Re-checked labels, such as Northcutt's cifar10_mturk.json.
    """

    counts: Path | None = None
    rechecks: Path | None = None

    def read(self, datamodule: CIFAR10DataModule) -> People | None:
        """Reads the files, which must be about the test images in their order; None if there are none."""
        if self == HumanFiles():
            return None
        labels = np.asarray(datamodule.dataset.test.labels)
        size = {"images": len(labels), "classes": len(datamodule.classes)}
        counts = None if self.counts is None else read_counts(self.counts, **size)
        rechecks = None if self.rechecks is None else read_rechecks(self.rechecks, **size)
        # Most people agree with most labels; in another order they agree by chance.
        found = ""
        if counts is not None and (agreement := (counts.argmax(axis=1) == labels).mean()) < 0.5:
            found = (
                f"{self.counts}: only {percent(agreement, 0)} of the images got most votes for their label"
            )
        for index, recheck in (rechecks or {}).items():
            if recheck.given != labels[index]:
                found = f"{self.rechecks}: image {index} is labelled {recheck.given}, not {labels[index]}"
        if found:
            raise ValueError(f"{found}, so its images are in another order than those of the test set")
        return partial(judge_errors, counts=counts, rechecks=rechecks)


@dataclass(frozen=True, eq=False)
class ErrorMaps:
    """E misclassified images, uint8 ``(E, H, W, 3)``, and L layers' maps of two classes, ``(E, L, H, W)`` in [0, 1]."""

    errors: Errors
    images: NDArray[np.uint8]
    predicted: NDArray[np.float32]
    true: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything a report shows about the weights.

    Only `flip_accuracy` is with test-time augmentation. The detector is fitted on the validation split; both are None
    without one. Faithfulness is, for each layer in the model's order, that of random maps and then of each method.
    """

    test: Evaluation
    flip_accuracy: float
    validation: Evaluation | None
    detector: OODDetector | None
    human: HumanView | None
    shown: ErrorMaps
    faithfulness: tuple[Faithfulness, ...]

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Height and width of the explained layers' maps, by name."""
        return {row.layer: row.map_size for row in self.faithfulness}

    @cached_property
    def calibrated(self) -> NDArray[np.float64]:
        """Test probabilities at the fitted temperature; unchanged if there is none."""
        return _calibrate(self.test, self.detector)

    @cached_property
    def errors(self) -> Errors:
        """All test errors, by index, with calibrated probabilities."""
        return find_errors(self.calibrated, self.test.labels, class_names=self.test.class_names)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix ``(K, K)``: true classes in rows, predicted ones in columns."""
        test = self.test
        return confusion_matrix(test.labels, test.predictions, classes=len(test.class_names))

    @cached_property
    def classes(self) -> tuple[ClassReport, ...]:
        """Precision and recall of each class."""
        return tuple(class_reports(self.confusion, class_names=self.test.class_names))

    @property
    def top3_accuracy(self) -> float:
        """Share of test images whose class is among the three most probable."""
        k = min(3, len(self.test.class_names))
        return top_k_accuracy(self.test.probabilities, self.test.labels, k=k)

    @cached_property
    def calibration_errors(self) -> tuple[float, float]:
        """Expected calibration error on the test set before and after temperature scaling, in [0, 1]."""
        before = expected_calibration_error(self.test.probabilities, self.test.labels)
        return before, expected_calibration_error(self.calibrated, self.test.labels)

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers as plain types: shares in [0, 1], losses in nats, counts.

        Undefined ones are None: the precision of a class that is never predicted, the recall of one without images,
        and the standard error of a single image.
        """
        known, names = self.detector, self.test.class_names
        return {
            "test_accuracy": self.test.accuracy,
            "test_accuracy_flip": self.flip_accuracy,
            "test_top3_accuracy": self.top3_accuracy,
            "test_loss": self.test.loss,
            "test_errors": len(self.errors),
            "expected_calibration_error": self.calibration_errors[0],
            "expected_calibration_error_calibrated": self.calibration_errors[1] if known else None,
            "familiarity": known.to_dict() if known else None,
            "classes": [
                {"name": one.name, **{n: _defined(getattr(one, n)) for n in ("precision", "recall", "f1")}}
                for one in self.classes
            ],
            "confusion_matrix": self.confusion.tolist(),
            "most_confused": [vars(p) for p in most_confused(self.confusion, count=10, class_names=names)],
            "faithfulness": [
                {
                    "layer": row.layer,
                    "map_size": list(row.map_size),
                    "method": row.method,
                    "images": len(row.scores),
                    "mean": row.mean,
                    "standard_error": _defined(row.standard_error),
                }
                for row in self.faithfulness
            ],
            "people": self.human.counts if self.human else None,
        }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def analyze(
    weights: Weights,
    datamodule: CIFAR10DataModule,
    *,
    people: People | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Evaluates the model on validation split and test set, and explains some of its errors.

    ``say`` is called with each step before it starts.
    """
    spec, images = weights.spec, datamodule.dataset.test.images
    say("predictions on the validation split and the test set")
    test, logits = evaluate_test_set(weights, datamodule)
    detector, validation = None, None
    if datamodule.val_size:
        held_out, labels = validation_logits(weights.model, datamodule, spec)
        validation = _evaluation(held_out, labels, spec.classes)
        detector = fit_ood_detector(held_out, labels)
    flipped = predict_logits(
        fuse_conv_bn(weights.model), images, preprocess=lambda x: spec.normalize(x).flip(3)
    )
    errors = find_errors(_calibrate(test, detector), test.labels, class_names=spec.classes)
    say(f"maps of {min(SHOWN_ERRORS, len(errors))} of {len(errors)} misclassified images")
    layers = tuple(find_layers(weights.model))
    shown = _explain_errors(weights, choose_errors(errors), images, layers)
    say(f"faithfulness of the maps on {min(TESTED_IMAGES, len(images))} test images")
    sample = np.sort(np.random.default_rng(0).permutation(len(images))[:TESTED_IMAGES])
    inputs = spec.normalize(np.asarray(images[sample]))
    rows = measure_faithfulness(weights.model, inputs, layers=layers, methods=TESTED_METHODS)
    return Analysis(
        test=test,
        flip_accuracy=float(((logits + flipped).argmax(axis=1) == test.labels).mean()),
        validation=validation,
        detector=detector,
        human=people(errors) if people else None,
        shown=shown,
        faithfulness=rows,
    )


def evaluate_test_set(
    weights: Weights, datamodule: CIFAR10DataModule, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Evaluation, NDArray[np.float64]]:
    """Returns the model's evaluation on the test set and its logits ``(N, K)``.

    ``progress`` is called with the images done and all images.
    """
    check_weights(weights, datamodule)
    test, spec = datamodule.dataset.test, weights.spec
    network = fuse_conv_bn(weights.model)
    logits = predict_logits(network, test.images, preprocess=spec.normalize, progress=progress)
    return _evaluation(logits, test.labels, spec.classes), logits


def _evaluation(logits: NDArray[np.float64], labels: Any, class_names: tuple[str, ...]) -> Evaluation:
    # In float32, as the gallery stores them, so that both count the same errors.
    probabilities = torch.from_numpy(logits).softmax(dim=1).float().numpy()
    return Evaluation(probabilities, np.asarray(labels, np.int64), class_names)


def _calibrate(test: Evaluation, detector: OODDetector | None) -> NDArray[np.float64]:
    return apply_temperature(test.probabilities, detector.temperature) if detector else test.probabilities


def choose_errors(errors: Errors, *, count: int = SHOWN_ERRORS) -> Errors:
    """Returns the most confident errors, each pair of true and predicted class once before any comes again.

    >>> errors = find_errors([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [1, 1, 0, 1])
    >>> choose_errors(errors, count=3).indices
    array([0, 2, 1])
    """
    ranked = errors.ranked("confidence")
    pairs = zip(ranked.labels.tolist(), ranked.predictions.tolist(), strict=True)
    earlier: defaultdict[tuple[int, int], Iterator[int]] = defaultdict(itertools.count)
    turns = np.array([next(earlier[pair]) for pair in pairs], np.int64)
    return ranked.take(np.argsort(turns, kind="stable")[:count])


def _explain_errors(weights: Weights, errors: Errors, images: Any, layers: tuple[str, ...]) -> ErrorMaps:
    photos = np.asarray(images[errors.indices])
    if not len(errors):
        none = np.zeros((0, len(layers), *photos.shape[1:3]), np.float32)
        return ErrorMaps(errors, photos, none, none)
    inputs, targets = weights.spec.normalize(photos), (errors.predictions, errors.labels)
    maps = (explain(weights.model, inputs, layers=layers, target=target.tolist()) for target in targets)
    return ErrorMaps(errors, photos, *maps)
