"""The images of a gallery that the model gets wrong: ordered, filtered, page by page."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cifar_explain import METHODS, Errors, Gallery, Recheck, confusion_matrix
from cifar_models import InputSpec
from cifar_space.service.deadline import Deadline, Progress
from cifar_space.service.engine import Engine
from cifar_space.service.misclassified_page import (
    ANY,
    LARGEST_SEED,
    ORDERS,
    PAGE_SIZE,
    MisclassifiedImage,
    MisclassifiedOptions,
    MisclassifiedPage,
)
from cifar_space.service.requests import Limits, RequestError, check_choice, check_switch, check_whole


class Misclassified:
    """The errors of a model, out of its gallery.

    Args:
        gallery: The model's predictions; its images may be missing.
        engine: Computes the maps.
        spec: What the model expects.
        limits: Bounds of each request.

    Raises:
        ValueError: If the gallery has other classes than the model.

    Attributes:
        errors: All errors.
        has_images: Whether the gallery has the images.
        matrix: How many images of each true class (row) are taken for each class (column), `(K, K)`.
    """

    def __init__(self, gallery: Gallery, engine: Engine, *, spec: InputSpec, limits: Limits) -> None:
        if gallery.class_names != spec.classes:
            raise ValueError(
                f"the gallery has the classes {', '.join(gallery.class_names)}, the model {', '.join(spec.classes)}"
            )
        self.gallery = gallery
        self.errors = gallery.errors
        self.has_images = gallery.images is not None
        self.matrix = confusion_matrix(
            gallery.labels, gallery.probabilities.argmax(axis=1), classes=len(spec.classes)
        )
        self._engine = engine
        self._spec = spec
        self._limits = limits

    def page(self, options: MisclassifiedOptions, *, progress: Progress | None = None) -> MisclassifiedPage:
        """Return one page of the errors that are asked for; maps are computed for its images only.

        Raises:
            RequestError: If an option is not allowed, or the maps take longer than `limits.seconds`.
        """
        self._check(options)
        matching = self._matching(options)
        chosen = min(len(matching), int(options.count))
        pages = _pages(chosen)
        check_whole("page", options.page, largest=pages)
        start = (int(options.page) - 1) * PAGE_SIZE
        shown = matching.take(slice(start, min(start + PAGE_SIZE, chosen)))
        layer = (options.layer or self._engine.layers[-1]) if options.explain else None
        seen = [self.seen(int(index)) for index in shown.indices]
        maps = self._maps(shown, seen, layer, options.method, progress)
        images = [self._image(shown, number, seen[number], maps[number]) for number in range(len(shown))]
        return MisclassifiedPage(
            tuple(images), int(options.page), pages, chosen, len(matching), len(self.errors), layer
        )

    def pages(self, options: MisclassifiedOptions) -> int:
        """Return how many pages there are of what is asked for, at least 1, whichever of them `options` names.

        Raises:
            RequestError: If another option is not allowed.
        """
        self._check(options)
        return _pages(min(len(self._matching(options)), int(options.count)))

    def _check(self, options: MisclassifiedOptions) -> None:
        check_whole("count", options.count, largest=max(1, len(self.errors)))
        check_choice("order", options.order, ORDERS)
        check_whole("seed", options.seed, smallest=0, largest=LARGEST_SEED)
        for name in ("true", "predicted"):
            check_choice(name, getattr(options, name), [ANY, *self._spec.classes])
        check_switch("explain", options.explain)
        if not options.explain:
            return
        if not self.has_images:
            raise RequestError("explain is not possible here: the gallery has no images")
        check_choice("method", options.method, METHODS)
        if options.layer is not None:
            check_choice("layer", options.layer, self._engine.layers)

    def _matching(self, options: MisclassifiedOptions) -> Errors:
        return self._ordered(options).filtered(
            true=None if options.true == ANY else options.true,
            predicted=None if options.predicted == ANY else options.predicted,
        )

    def _ordered(self, options: MisclassifiedOptions) -> Errors:
        if options.order != "chance":
            return self.errors.ranked(options.order)
        # Drawn before the filter, so that a filter takes images away and leaves the order of the others.
        return self.errors.take(np.random.default_rng(int(options.seed)).permutation(len(self.errors)))

    def _maps(
        self,
        shown: Errors,
        seen: Sequence[NDArray[np.uint8] | None],
        layer: str | None,
        method: str,
        progress: Progress | None,
    ) -> Sequence[NDArray[np.float32] | None]:
        pictures = [one for one in seen if one is not None]
        if layer is None or not pictures:
            return [None] * len(shown)
        return self._engine.maps_of_many(
            pictures,
            layer,
            method=method,
            targets=[self._classes(shown, number) for number in range(len(shown))],
            deadline=Deadline(self._limits.seconds, len(shown), progress),
        )

    def _classes(self, shown: Errors, number: int) -> tuple[str, str]:
        """Return the predicted and the true class of an error."""
        names = self._spec.classes
        return names[int(shown.predictions[number])], names[int(shown.labels[number])]

    def _image(
        self,
        shown: Errors,
        number: int,
        seen: NDArray[np.uint8] | None,
        maps: NDArray[np.float32] | None,
    ) -> MisclassifiedImage:
        index = int(shown.indices[number])
        predicted, true = self._classes(shown, number)
        votes, verdict, recheck = self._human(index)
        return MisclassifiedImage(
            index=index,
            true=true,
            predicted=predicted,
            confidence=float(shown.confidences[number]),
            true_probability=float(self.gallery.probabilities[index, shown.labels[number]]),
            loss=float(shown.losses[number]),
            seen=seen,
            votes=votes,
            verdict=verdict,
            recheck=recheck,
            maps=maps,
        )

    def seen(self, index: int) -> NDArray[np.uint8] | None:
        """Return an image that the gallery stores, as the model sees it, `(size, size, 3)`; None without images.

        Raises:
            ValueError: If the gallery stores images, but not this one.
        """
        if not self.has_images:
            return None
        return np.asarray(self._spec.to_image(self.gallery.image(index)))

    def _human(self, index: int) -> tuple[tuple[tuple[str, float], ...] | None, str | None, Recheck | None]:
        human = self.gallery.human
        if human is None:
            return None, None, None
        position = int(np.searchsorted(self.errors.indices, index))
        votes = None if human.votes is None else _ranked_votes(human.votes[position], self._spec.classes)
        return votes, human.verdicts[position], human.rechecks[position]


def _pages(images: int) -> int:
    return max(1, -(-images // PAGE_SIZE))


def _ranked_votes(shares: NDArray[np.float64], names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-shares, kind="stable")
    return tuple((names[k], float(shares[k])) for k in order if shares[k] > 0)
