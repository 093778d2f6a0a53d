"""The misclassified images of a gallery: ordered, filtered, page by page."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from cifar_explain import METHODS, Errors, Gallery, confusion_matrix
from cifar_space.service.engine import Engine
from cifar_space.service.requests import (
    ANY,
    LARGEST_SEED,
    ORDERS,
    PAGE_SIZE,
    Limits,
    MisclassifiedImage,
    MisclassifiedOptions,
    MisclassifiedPage,
    Progress,
    RequestError,
    check_choice,
    check_switch,
    check_whole,
    deadline,
)

# Images that are explained in one batch: several times quicker than one by one.
_TOGETHER = 8


class Misclassified:
    """The errors of a model, from its gallery, which must have the model's classes.

    Attributes:
        errors: All errors.
        matrix: Number of images by true class (row) and predicted class (column), `(K, K)`.
    """

    def __init__(self, gallery: Gallery, engine: Engine, *, limits: Limits) -> None:
        if gallery.class_names != engine.classes:
            raise ValueError(
                f"the gallery has the classes {', '.join(gallery.class_names)}, the model {', '.join(engine.classes)}"
            )
        self.gallery = gallery
        self.errors = gallery.errors
        self.matrix = confusion_matrix(
            gallery.labels, gallery.probabilities.argmax(axis=1), classes=len(engine.classes)
        )
        self._engine = engine
        self._limits = limits

    @property
    def has_images(self) -> bool:
        """Whether the gallery has the images."""
        return self.gallery.images is not None

    def add_images(self, images: NDArray[np.uint8]) -> None:
        """Adds the images that the gallery lacks, those of its `tiles`."""
        self.gallery = dataclasses.replace(self.gallery, images=images)

    def page(
        self, options: MisclassifiedOptions, *, nearest: bool = False, progress: Progress | None = None
    ) -> MisclassifiedPage:
        """Returns one page of the requested errors; maps are computed for its images only.

        With `nearest`, a page number that is too large means the last page. Raises `RequestError` if an option is not
        allowed, or the maps take longer than `limits.seconds`.
        """
        self._check(options)
        matching = self._matching(options)
        chosen = min(len(matching), int(options.count))
        pages = max(1, -(-chosen // PAGE_SIZE))
        page = min(options.page, pages) if nearest else options.page
        check_whole("page", page, largest=pages)
        start = (int(page) - 1) * PAGE_SIZE
        shown = matching.take(slice(start, min(start + PAGE_SIZE, chosen)))
        images = [self._image(shown, number) for number in range(len(shown))]
        layer = (options.layer or self._engine.layers[-1]) if options.explain else None
        if layer is not None:
            maps = self._engine.maps(
                [self.seen(image.index) for image in images],
                [layer],
                method=options.method,
                targets=[(image.predicted, image.true) for image in images],
                together=_TOGETHER,
                reach=deadline(self._limits.seconds, len(images), progress),
            )
            images = [
                dataclasses.replace(image, maps=one[layer]) for image, one in zip(images, maps, strict=True)
            ]
        return MisclassifiedPage(
            tuple(images), int(page), pages, chosen, len(matching), len(self.errors), layer
        )

    def seen(self, index: int) -> NDArray[np.uint8]:
        """Returns an error's image as the network's input, uint8 `(size, size, 3)`."""
        return np.asarray(self._engine.spec.to_image(self.gallery.image(index)))

    def _check(self, options: MisclassifiedOptions) -> None:
        check_whole("count", options.count, largest=max(1, len(self.errors)))
        check_choice("order", options.order, ORDERS)
        check_whole("seed", options.seed, smallest=0, largest=LARGEST_SEED)
        for name in ("true", "predicted"):
            check_choice(name, getattr(options, name), [ANY, *self._engine.classes])
        check_switch("explain", options.explain)
        if not options.explain:
            return
        if not self.has_images:
            raise RequestError("explain is not possible here: the gallery has no images")
        check_choice("method", options.method, METHODS)
        if options.layer is not None:
            check_choice("layer", options.layer, self._engine.layers)

    def _matching(self, options: MisclassifiedOptions) -> Errors:
        if options.order == "chance":
            # Drawn before the filter, so that a filter takes images away and leaves the order of the others.
            generator = np.random.default_rng(int(options.seed))
            ordered = self.errors.take(generator.permutation(len(self.errors)))
        else:
            ordered = self.errors.ranked(options.order)
        return ordered.filtered(
            true=None if options.true == ANY else options.true,
            predicted=None if options.predicted == ANY else options.predicted,
        )

    def _image(self, errors: Errors, number: int) -> MisclassifiedImage:
        names, human = self._engine.classes, self.gallery.human
        index, label, predicted = (
            int(values[number]) for values in (errors.indices, errors.labels, errors.predictions)
        )
        position = int(np.searchsorted(self.errors.indices, index))
        probabilities = self.gallery.probabilities[index]
        calibrated = self._engine.calibrated(probabilities)
        votes = None
        if human is not None and human.votes is not None:
            shares = human.votes[position]
            order = np.argsort(-shares, kind="stable")
            votes = tuple((names[k], float(shares[k])) for k in order if shares[k] > 0)
        return MisclassifiedImage(
            index=index,
            true=names[label],
            predicted=names[predicted],
            confidence=float(errors.confidences[number]),
            true_probability=float(probabilities[label]),
            loss=float(errors.losses[number]),
            seen=self.seen(index) if self.has_images else None,
            votes=votes,
            verdict=None if human is None else human.verdicts[position],
            recheck=None if human is None else human.rechecks[position],
            calibrated=None
            if calibrated is None
            else (float(calibrated[predicted]), float(calibrated[label])),
        )
