"""One model and a memory of what it made of each picture."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_explain import Familiarity, apply_temperature, explain, find_layers, predict_logits
from cifar_models import Weights
from cifar_space.service.deadline import Deadline
from cifar_space.service.memory import ArrayMemory

#: Bytes of remembered maps and logits: 16,000 maps of 32x32 pixels.
MEMORY_BYTES = 64 * 2**20

# Pictures that are explained at once where there are many: several times quicker than one by one.
_TOGETHER = 8


class Engine:
    """Logits and maps of single pictures, computed once and then remembered. Safe for several threads.

    No answer depends on its companions: pictures go through the model one by one, or always as many at once.

    Args:
        weights: The model, and what it expects.

    Raises:
        ValueError: If the model has no `cam_layers`, or its metrics hold a `familiarity` that is none.
    """

    def __init__(self, weights: Weights) -> None:
        self._model = weights.model
        self._spec = weights.spec
        self._memory = ArrayMemory(MEMORY_BYTES)
        self.classes = weights.spec.classes
        self.layers = tuple(find_layers(weights.model))
        fields = weights.metrics.get("familiarity")
        self.familiarity = None if fields is None else Familiarity.from_dict(fields)

    def probabilities(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the softmax of the logits `(K,)` of a picture as the model sees it, `(size, size, 3)`."""
        return torch.from_numpy(self._logits(seen).copy()).softmax(dim=0).numpy()

    def calibrated(self, seen: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Return the calibrated probabilities `(K,)` of a picture, or None where no temperature is known."""
        if self.familiarity is None:
            return None
        return apply_temperature(self.probabilities(seen)[None], self.familiarity.temperature)[0]

    def is_unfamiliar(self, seen: NDArray[np.uint8]) -> bool | None:
        """Return whether a picture looks like none of the classes, or None where that cannot be told."""
        if self.familiarity is None:
            return None
        return bool(self.familiarity.is_unfamiliar(self._logits(seen)[None])[0])

    def maps(
        self,
        seen: NDArray[np.uint8],
        layers: Sequence[str],
        *,
        method: str,
        targets: Sequence[str],
        step: Callable[[int, int], None] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return by layer the maps `(T, size, size)` in [0, 1] of where it sees evidence for each target.

        Args:
            seen: The picture as the model sees it, uint8 `(size, size, 3)`.
            layers: Names out of `layers`.
            method: One of `cifar_explain.METHODS`.
            targets: T class names.
            step: Called with the steps done and all steps; an exception that it raises ends the work.
        """
        key = (_digest(seen), method, tuple(targets))
        known = {layer: self._memory.get((*key, layer)) for layer in layers}
        missing = [layer for layer, maps in known.items() if maps is None]
        if missing:
            computed = explain(
                self._model,
                self._inputs(seen, len(targets)),
                layers=missing,
                method=method,
                target=[self.classes.index(name) for name in targets],
                progress=step,
            )
            for number, layer in enumerate(missing):
                known[layer] = self._memory.put((*key, layer), computed[:, number])
        return {layer: maps for layer, maps in known.items() if maps is not None}

    def maps_of_many(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        layer: str,
        *,
        method: str,
        targets: Sequence[Sequence[str]],
        deadline: Deadline,
    ) -> list[NDArray[np.float32]]:
        """Return for each picture the maps `(T, size, size)` in [0, 1] of where a layer sees evidence.

        Pictures go through the model together, but always as many at once, so that the numbers do not depend
        on how many there are.

        Args:
            pictures: Pictures as the model sees them, uint8 `(size, size, 3)`.
            layer: A name out of `layers`.
            method: One of `cifar_explain.METHODS`.
            targets: T class names for each picture.
            deadline: Told how far the work is; ends it when the time is over.
        """
        keys = [
            (_digest(seen), method, tuple(names), layer)
            for seen, names in zip(pictures, targets, strict=True)
        ]
        known = {key: self._memory.get(key) for key in keys}
        # A picture may stand here twice.
        missing = list({key: number for number, key in enumerate(keys) if known[key] is None}.values())
        for start in range(0, len(missing), _TOGETHER):
            deadline.start(missing[start])
            chunk = missing[start : start + _TOGETHER]
            computed = self._explained(
                [pictures[number] for number in (chunk * _TOGETHER)[:_TOGETHER]],
                [targets[number] for number in (chunk * _TOGETHER)[:_TOGETHER]],
                layer,
                method,
                deadline,
            )
            for number, maps in zip(chunk, computed, strict=False):
                known[keys[number]] = self._memory.put(keys[number], maps)
        return [maps for maps in (known[key] for key in keys) if maps is not None]

    def _explained(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        targets: Sequence[Sequence[str]],
        layer: str,
        method: str,
        deadline: Deadline,
    ) -> NDArray[np.float32]:
        """Return maps `(N, T, size, size)` of N pictures."""
        each = len(targets[0])
        found = explain(
            self._model,
            self._spec.normalize(np.repeat(np.stack(pictures), each, axis=0)),
            layers=[layer],
            method=method,
            target=[self.classes.index(name) for names in targets for name in names],
            progress=deadline.step,
        )
        # (N * T, 1, size, size) -> (N, T, size, size)
        return found.reshape(len(pictures), each, *found.shape[2:])

    def _logits(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        key = (_digest(seen), "logits")
        known = self._memory.get(key)
        return known if known is not None else self._memory.put(key, self._computed_logits(seen))

    def _computed_logits(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        return predict_logits(self._model, self._inputs(seen, 1))[0]

    def _inputs(self, seen: NDArray[np.uint8], times: int) -> torch.Tensor:
        # (size, size, 3) -> (times, 3, size, size)
        return self._spec.normalize(np.repeat(seen[None], times, axis=0))


def _digest(seen: NDArray[Any]) -> bytes:
    return hashlib.sha256(seen.tobytes()).digest()
