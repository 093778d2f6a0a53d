"""One model, and a memory of its logits and maps."""

import functools
import hashlib
import itertools
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cifar_explain import OODDetector, apply_temperature, explain, find_layers, predict_logits
from cifar_models import Weights

#: Bytes of remembered maps: 16,000 maps of 32x32 pixels.
MEMORY_BYTES = 64 * 2**20

T = TypeVar("T")


class ModelThread:
    """Runs the work of all requests in one thread: the most urgent first, and of equally urgent work the oldest.

    A long request hands over its work in small parts, so that others wait for one part only. One thread, since torch
    keeps a team of threads for each thread that calls it.
    """

    def __init__(self) -> None:
        self._work: queue.PriorityQueue[tuple[Any, ...]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        threading.Thread(target=_run_forever, args=[self._work], daemon=True).start()
        weakref.finalize(self, self._work.put, (float("inf"),))

    def run(self, rank: int, function: Callable[[], T]) -> T:
        """Waits for the result of `function`; the lowest `rank` is the most urgent."""
        future: Future[T] = Future()
        self._work.put((rank, next(self._numbers), function, future))
        return future.result()


def _run_forever(work: "queue.PriorityQueue[tuple[Any, ...]]") -> None:
    while len(item := work.get()) > 1:
        _, _, function, future = item
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)
        del item, function, future


class Engine:
    """Logits and maps of single images, computed once and then remembered.

    Several threads may use it: they take turns on the model, logits before maps.
    No answer depends on the other images of a request: they go through the model in batches of a fixed size.
    """

    def __init__(self, weights: Weights) -> None:
        self._model = weights.model
        self._thread = ModelThread()
        self.spec = weights.spec
        self.classes = weights.spec.classes
        self.layers = tuple(find_layers(weights.model))
        fields = weights.metrics.get("familiarity")
        self.ood_detector = None if fields is None else OODDetector.from_dict(fields)
        # Of each image, method and targets the arrays by layer, which callers fill in. Most have one or two targets.
        entry_bytes = 2 * len(self.layers) * 4 * self.spec.size**2
        self._remembered = functools.lru_cache(max(1, MEMORY_BYTES // entry_bytes))(_new_entry)

    def logits(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Returns the logits `(K,)` of an image `(size, size, 3)`."""
        entry = self._remembered(_digest(seen), "logits")
        if "logits" not in entry:
            inputs = self.spec.normalize(seen[None])
            entry["logits"] = self._thread.run(0, lambda: predict_logits(self._model, inputs))[0]
        return entry["logits"]

    def calibrated(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Returns calibrated probabilities `(K,)` of an image; None if no temperature is known."""
        if self.ood_detector is None:
            return None
        return apply_temperature(probabilities[None], self.ood_detector.temperature)[0]

    def maps(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        layers: Sequence[str],
        *,
        method: str,
        targets: Sequence[Sequence[str]],
        together: int = 1,
        reach: Callable[[int], None] | None = None,
    ) -> list[dict[str, NDArray[np.float32]]]:
        """Returns for each image, by layer, the maps `(T, size, size)` in [0, 1] of the evidence for its targets.

        Args:
            pictures: Network inputs, uint8 `(size, size, 3)`.
            layers: The layers to explain.
            method: One of `cifar_explain.METHODS`.
            targets: T class names of each image.
            together: Images in a batch. A last batch that is smaller is filled up, so that the numbers do not
                depend on how many images there are.
            reach: Called with the index of the next image before each batch; may raise to end the work.
        """
        entries = [
            self._remembered(_digest(seen), method, *names)
            for seen, names in zip(pictures, targets, strict=True)
        ]
        # By entry, since an image may occur twice.
        missing = {id(entry): number for number, entry in enumerate(entries) if not entry.keys() >= {*layers}}
        numbers = list(missing.values())
        for start in range(0, len(numbers), together):
            chunk = numbers[start : start + together]
            if reach is not None:
                reach(chunk[0])
            wanted = [layer for layer in layers if any(layer not in entries[number] for number in chunk)]
            batch = (chunk * together)[:together]
            each = len(targets[chunk[0]])
            seen = np.repeat(np.stack([pictures[number] for number in batch]), each, axis=0)
            names = [self.classes.index(name) for number in batch for name in targets[number]]
            work = functools.partial(
                explain, self._model, self.spec.normalize(seen), layers=wanted, method=method, target=names
            )
            found = self._thread.run(1, work)
            found.flags.writeable = False
            # (N * T, L, size, size) -> (N, T, L, size, size)
            for number, maps in zip(chunk, found.reshape(len(batch), each, *found.shape[1:]), strict=False):
                entries[number].update({layer: maps[:, place] for place, layer in enumerate(wanted)})
        return [{layer: entry[layer] for layer in layers} for entry in entries]


def _new_entry(*_: object) -> dict[str, NDArray[Any]]:
    return {}


def _digest(seen: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(seen.tobytes()).digest()
