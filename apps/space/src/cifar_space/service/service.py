"""The service behind the page and the API: images in, answers out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cifar_explain import Gallery, read_gallery
from cifar_models import Weights, load_weights
from cifar_space.artifacts.files import Report, ServedFiles, of_weights, read_report
from cifar_space.artifacts.model_facts import gather_facts
from cifar_space.artifacts.test_images import with_test_images
from cifar_space.service.engine import Engine
from cifar_space.service.misclassified import Misclassified
from cifar_space.service.requests import (
    PREDICTED,
    Answer,
    Limits,
    MisclassifiedOptions,
    MisclassifiedPage,
    Options,
    Prediction,
    Progress,
    RejectedFile,
    RequestError,
    check_options,
    deadline,
)
from cifar_space.service.uploads import PictureError, read_picture


class Service:
    """One model, ready to answer. Safe for several threads; answers do not depend on earlier requests.

    Logits and maps are remembered, so that other layers or another number of classes cost only what is new.

    Args:
        weights: The model and its input specification.
        gallery: The model's predictions on a split, with or without the images.
        report: That of the run that trained the model.
        gallery_command: Command that makes the gallery, to show where it or its images are missing.
        limits: Bounds of each request.

    Raises a ValueError if the model has no `cam_layers`, its metrics hold an invalid `familiarity`, or the gallery is
    of other weights or classes.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        gallery: Gallery | None = None,
        report: Report | None = None,
        gallery_command: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        if gallery is not None and gallery.weights_sha256 != weights.sha256:
            raise ValueError(
                f"gallery is of weights {gallery.weights_sha256[:12]}..., the model of {weights.sha256[:12]}..."
            )
        self.weights = weights
        self.limits = limits or Limits()
        self.report = report
        self.gallery_command = gallery_command
        self._engine = Engine(weights)
        self.classes = self._engine.classes
        self.layers = self._engine.layers
        self.ood_detector = self._engine.ood_detector
        self.misclassified = Misclassified(gallery, self._engine, limits=self.limits) if gallery else None
        self.facts = gather_facts(weights, gallery=gallery, report=report, ood_detector=self.ood_detector)

    def answer(
        self, paths: Sequence[str | os.PathLike[str]], options: Options
    ) -> tuple[Answer | RejectedFile, ...]:
        """Returns an answer or a rejected file for each file, in their order, or raises as `answers` does."""
        *_, found = self.answers(paths, options)
        return found

    def answers(
        self, paths: Sequence[str | os.PathLike[str]], options: Options, *, progress: Progress | None = None
    ) -> Iterator[tuple[Answer | RejectedFile, ...]]:
        """Yields what `answer` returns as it grows: file by file without maps, then with the maps of image by image.

        Other requests have their turns in between. Raises `RequestError` if there are no or too many files, an option
        is not allowed, or the maps take longer than `limits.seconds`; what was yielded before remains right.
        """
        if not 1 <= len(paths) <= self.limits.pictures:
            raise RequestError(
                f"{len(paths)} images were given; 1 to {self.limits.pictures} are allowed at once"
            )
        layers = check_options(options, classes=self.classes, layers=self.layers, limits=self.limits)
        reach = deadline(self.limits.seconds, len(paths), progress)
        found: list[Answer | RejectedFile] = []
        left = options.explained
        for path in paths:
            reach(0)
            outcome = self._classify(Path(path), options, layers if left else ())
            left -= bool(left and isinstance(outcome, Answer))
            found.append(outcome)
            yield tuple(found)
        for place, one in enumerate(found):
            if isinstance(one, Answer) and one.awaited:
                reach(place)
                (maps,) = self._engine.maps(
                    [one.seen], layers, method=options.method, targets=[[str(one.target)]]
                )
                found[place] = replace(one, maps={layer: maps[layer][0] for layer in layers}, awaited=())
                yield tuple(found)

    def misclassified_page(self, options: MisclassifiedOptions) -> MisclassifiedPage:
        """Returns one page of the misclassified images; raises `RequestError` as `answer`, and without a gallery."""
        if self.misclassified is None:
            raise RequestError("there is no gallery of this model here, so its errors are not known")
        return self.misclassified.page(options)

    def warm_up(self) -> None:
        """Classifies and explains a grey image, so that the first visitor does not wait for libraries to load."""
        seen = np.full((self.weights.spec.size, self.weights.spec.size, 3), 128, np.uint8)
        self._engine.maps([seen], self.layers, method="gradcam", targets=[self.classes[:1]])
        self._engine.logits(seen)

    def _classify(self, path: Path, options: Options, layers: tuple[str, ...]) -> Answer | RejectedFile:
        try:
            seen = np.asarray(read_picture(path, self.weights.spec, limits=self.limits))
        except PictureError as error:
            return RejectedFile(path.name, str(error))
        logits, detector = self._engine.logits(seen), self.ood_detector
        probabilities = torch.from_numpy(logits.copy()).softmax(dim=0).numpy()
        calibrated = self._engine.calibrated(probabilities)
        # Stable, so that equally probable classes keep the order of the logits.
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        predictions = tuple(
            Prediction(
                self.classes[index],
                float(probabilities[index]),
                None if calibrated is None else float(calibrated[index]),
            )
            for index in best
        )
        target = predictions[0].name if options.target == PREDICTED else options.target
        return Answer(
            path.name,
            seen,
            predictions,
            target if layers else None,
            {},
            ood=None if detector is None else bool(detector.is_ood(logits[None])[0]),
            awaited=layers,
        )


def load_service(files: ServedFiles | str | os.PathLike[str], *, limits: Limits | None = None) -> Service:
    """Returns a service of one model's files, or of a weights file alone, warmed up.

    Raises an OSError or a ValueError if a file is missing, damaged, or a gallery of another model.
    """
    served = files if isinstance(files, ServedFiles) else of_weights(files)
    weights = load_weights(served.weights)
    gallery = read_gallery(served.gallery, weights_sha256=weights.sha256) if served.gallery else None
    service = Service(
        weights,
        gallery=gallery and with_test_images(gallery, served.images, fetch=served.fetch_images),
        report=read_report(served.report) if served.report else None,
        gallery_command=served.gallery_command,
        limits=limits,
    )
    service.warm_up()
    return service
