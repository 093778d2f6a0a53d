"""Answers as plain values for the API, and pictures as PNG text for both the API and the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain import overlay
from cifar_space.service.answers import Answer, Refusal
from cifar_space.service.misclassified_page import MisclassifiedImage, MisclassifiedPage
from cifar_space.service.requests import RequestError

#: Width in pixels of one of the model's pixels in the overlays that the API returns.
SCALE = 8


def describe(outcomes: Sequence[Answer | Refusal], *, opacity: float) -> list[dict[str, Any]]:
    """Return what the API answers, in plain values ready for JSON: one dictionary for each file.

    An answer has `name`, `predictions` (a list of `class`, `probability` and `calibrated`, which is None where it is
    not known), `unfamiliar`, `explained_class` and `maps` (layer name to overlay, a PNG as data URI); a refusal has
    `name` and `error`.

    Args:
        outcomes: What `Service.answer` returned.
        opacity: How much the maps hide of the picture, in [0, 1].

    Raises:
        RequestError: If the opacity is not in [0, 1].

    >>> describe([Refusal("notes.txt", "This is not a picture.")], opacity=0.5)
    [{'name': 'notes.txt', 'error': 'This is not a picture.'}]
    """
    _check_opacity(opacity)
    return [_described(outcome, opacity) for outcome in outcomes]


def describe_misclassified(page: MisclassifiedPage, *, opacity: float) -> dict[str, Any]:
    """Return a page of misclassified images in plain values ready for JSON.

    It has `page`, `pages`, `chosen`, `matching` and `total`, `layer` (of the maps), and `images`, a list of
    dictionaries with the fields of `MisclassifiedImage`, in which `image` is a PNG as data URI, `votes` goes from
    class to share, and `maps` has an overlay for the `predicted` and one for the `true` class. What there is not is
    None.

    Args:
        page: What `Service.misclassified_page` returned.
        opacity: How much the maps hide of the picture, in [0, 1].

    Raises:
        RequestError: If the opacity is not in [0, 1].

    >>> describe_misclassified(MisclassifiedPage((), 1, 1, 0, 0, 0, None), opacity=0.5)["images"]
    []
    """
    _check_opacity(opacity)
    return {
        "page": page.page,
        "pages": page.pages,
        "chosen": page.chosen,
        "matching": page.matching,
        "total": page.total,
        "layer": page.layer,
        "images": [_described_image(image, opacity) for image in page.images],
    }


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Return uint8 RGB pixels `(H, W, 3)` as a data URI of a PNG file.

    >>> png_uri(np.zeros((1, 1, 3), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _check_opacity(opacity: float) -> None:
    # A NaN fails the comparison, so it is caught too.
    if isinstance(opacity, bool) or not isinstance(opacity, int | float) or not 0 <= opacity <= 1:
        raise RequestError(
            f"opacity must be a number from 0 (the picture) to 1 (the map), got {opacity!r:.100}"
        )


def _described(outcome: Answer | Refusal, opacity: float) -> dict[str, Any]:
    if isinstance(outcome, Refusal):
        return {"name": outcome.name, "error": outcome.reason}
    return {
        "name": outcome.name,
        "predictions": [
            {
                "class": prediction.name,
                "probability": prediction.probability,
                "calibrated": prediction.calibrated,
            }
            for prediction in outcome.predictions
        ],
        "unfamiliar": outcome.unfamiliar,
        "explained_class": outcome.target,
        "maps": {
            layer: png_uri(overlay(outcome.seen, heat, opacity=opacity, scale=SCALE))
            for layer, heat in outcome.maps.items()
        },
    }


def _described_image(image: MisclassifiedImage, opacity: float) -> dict[str, Any]:
    maps = None
    if image.maps is not None and image.seen is not None:
        maps = {
            name: png_uri(overlay(image.seen, heat, opacity=opacity, scale=SCALE))
            for name, heat in zip(("predicted", "true"), image.maps, strict=True)
        }
    return {
        "index": image.index,
        "true": image.true,
        "predicted": image.predicted,
        "confidence": image.confidence,
        "true_probability": image.true_probability,
        "loss": image.loss,
        "image": None if image.seen is None else png_uri(image.seen),
        "votes": None if image.votes is None else dict(image.votes),
        "verdict": image.verdict,
        "recheck": None if image.recheck is None else asdict(image.recheck),
        "maps": maps,
    }
