"""What the page and the API ask: pictures in, answers out. Knows nothing of pages."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_explain import explain, find_layers, predict_probabilities
from cifar_models import Weights, load_weights
from cifar_space.memory import ArrayMemory
from cifar_space.options import PREDICTED, Limits, Options, RequestError, check_options
from cifar_space.pictures import PictureError, read_picture
from cifar_space.served import ServedFiles, of_weights

#: Called with the share of the work that is done, in [0, 1], and what is being done.
Progress = Callable[[float, str], None]

#: Bytes of remembered maps and probabilities: 16,000 maps of 32x32 pixels.
_MEMORY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Prediction:
    """A class and its probability in [0, 1], the softmax of the logits."""

    name: str
    probability: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says about one picture.

    Attributes:
        name: The file's name, as it came.
        seen: The picture as the model saw it, uint8 `(size, size, 3)`.
        predictions: The most probable classes, most probable first.
        target: The class that the maps explain, or None without maps.
        maps: Layer name to map `(size, size)` in [0, 1] of where it sees evidence; empty without maps.
    """

    name: str
    seen: NDArray[np.uint8]
    predictions: tuple[Prediction, ...]
    target: str | None
    maps: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Refusal:
    """A file that could not be taken as a picture.

    Attributes:
        name: The file's name, as it came.
        reason: Why, in a sentence.
    """

    name: str
    reason: str


class Service:
    """One model, ready to answer. Safe for several threads; answers do not depend on who asked before.

    Probabilities and maps are remembered for each picture, so that asking again with other layers or for
    another number of classes computes only what is new.

    Args:
        weights: The model and what it expects.
        limits: Bounds of each request.

    Raises:
        ValueError: If the model has no `cam_layers`.
    """

    def __init__(self, weights: Weights, *, limits: Limits | None = None) -> None:
        self.weights = weights
        self.limits = limits or Limits()
        self.classes = weights.spec.classes
        self.layers = tuple(find_layers(weights.model))
        self._memory = ArrayMemory(_MEMORY_BYTES)

    def answer(
        self, paths: Sequence[str | os.PathLike[str]], options: Options, *, progress: Progress | None = None
    ) -> tuple[Answer | Refusal, ...]:
        """Return an answer or a refusal for each file, in their order.

        Args:
            paths: Files of pictures, from 1 to `limits.pictures`.
            options: What to tell about each.
            progress: Told about the progress.

        Raises:
            RequestError: If there are no or too many files, an option is not allowed, or the maps take longer
                than `limits.seconds`.
        """
        if not 1 <= len(paths) <= self.limits.pictures:
            raise RequestError(
                f"{len(paths)} pictures were given; from 1 to {self.limits.pictures} at once are possible"
            )
        layers = check_options(options, classes=self.classes, layers=self.layers, limits=self.limits)
        clock = _Clock(self.limits.seconds, len(paths), progress)
        found: list[Answer | Refusal] = []
        left = options.explained
        for number, path in enumerate(paths):
            clock.start(number)
            outcome = self._answer_one(Path(path), options, layers if left else (), clock)
            if left and isinstance(outcome, Answer):
                left -= 1
            found.append(outcome)
        return tuple(found)

    def warm_up(self) -> None:
        """Classify and explain a grey picture, so that the first visitor does not wait for libraries to load."""
        size = self.weights.spec.size
        seen = np.full((size, size, 3), 128, np.uint8)
        self._maps(seen, self.layers, "gradcam", self.classes[0], step=lambda *_: None)
        self._probabilities(seen)

    def _answer_one(
        self, path: Path, options: Options, layers: tuple[str, ...], clock: "_Clock"
    ) -> Answer | Refusal:
        try:
            seen = np.asarray(read_picture(path, self.weights.spec, limits=self.limits))
        except PictureError as error:
            return Refusal(path.name, str(error))
        probabilities = self._probabilities(seen)
        # Stable, so that equally probable classes keep the order of the logits.
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        predictions = tuple(Prediction(self.classes[index], float(probabilities[index])) for index in best)
        target = predictions[0].name if options.target == PREDICTED else options.target
        maps = self._maps(seen, layers, options.method, target, step=clock.step) if layers else {}
        return Answer(path.name, seen, predictions, target if layers else None, maps)

    def _probabilities(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        key = (_digest(seen), "probabilities")
        known = self._memory.get(key)
        if known is None:
            computed = predict_probabilities(self.weights.model, self._inputs(seen))[0]
            known = self._memory.put(key, computed)
        return known

    def _maps(
        self,
        seen: NDArray[np.uint8],
        layers: tuple[str, ...],
        method: str,
        target: str,
        *,
        step: Callable[[int, int], None],
    ) -> dict[str, NDArray[np.float32]]:
        digest = _digest(seen)
        maps = {layer: self._memory.get((digest, layer, method, target)) for layer in layers}
        missing = [layer for layer, known in maps.items() if known is None]
        if missing:
            computed = explain(
                self.weights.model,
                self._inputs(seen),
                layers=missing,
                method=method,
                target=self.classes.index(target),
                progress=step,
            )[0]
            for layer, heat in zip(missing, computed, strict=True):
                maps[layer] = self._memory.put((digest, layer, method, target), heat)
        return {layer: heat for layer, heat in maps.items() if heat is not None}

    def _inputs(self, seen: NDArray[np.uint8]) -> torch.Tensor:
        # One picture at a time: (size, size, 3) -> (1, 3, size, size). So no answer depends on its companions.
        return self.weights.spec.normalize(seen[None])


def load_service(files: ServedFiles | str | os.PathLike[str], *, limits: Limits | None = None) -> Service:
    """Return a service of one model's files, or of a weights file alone, warmed up.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the weights are not a whole and valid weights file; the reason is told.
    """
    served = files if isinstance(files, ServedFiles) else of_weights(files)
    service = Service(load_weights(served.weights), limits=limits)
    service.warm_up()
    return service


class _Clock:
    """Tells the progress of one request, and ends it when its time is over."""

    def __init__(self, seconds: float, count: int, progress: Progress | None) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._count = count
        self._number = 0
        self._progress = progress

    def start(self, number: int) -> None:
        self._number = number
        self.step(0, 1)

    def step(self, done: int, steps: int) -> None:
        if time.monotonic() > self._end:
            raise RequestError(
                f"this took more than {self._seconds:g} seconds and was stopped; "
                "choose fewer pictures or layers, or a quicker method"
            )
        if self._progress is not None:
            share = (self._number + done / steps) / self._count
            self._progress(share, f"picture {self._number + 1} of {self._count}")


def _digest(seen: NDArray[Any]) -> bytes:
    return hashlib.sha256(seen.tobytes()).digest()
