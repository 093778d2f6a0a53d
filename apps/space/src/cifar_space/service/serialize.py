"""Answers as plain values for the API."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_explain import overlay
from cifar_space.service.requests import (
    Answer,
    MisclassifiedImage,
    MisclassifiedPage,
    RejectedFile,
    check_opacity,
)

#: Width in pixels of one input pixel in the overlays that the API returns.
SCALE = 8


def describe(outcomes: Sequence[Answer | RejectedFile], *, opacity: float) -> list[dict[str, Any]]:
    """Returns the answer of `/classify`, ready for JSON: one dictionary for each file.

    An answer has `name`, `predictions` (a list of `class`, `probability` and `calibrated`), `unfamiliar`,
    `explained_class` and `maps` (layer name to overlay, a PNG as data URI); a rejected file has `name` and `error`.
    Raises `RequestError` if the opacity is not in [0, 1].

    >>> describe([RejectedFile("notes.txt", "The file is empty.")], opacity=0.5)
    [{'name': 'notes.txt', 'error': 'The file is empty.'}]
    """
    check_opacity(opacity)
    return [
        {"name": outcome.name, "error": outcome.reason}
        if isinstance(outcome, RejectedFile)
        else {
            "name": outcome.name,
            "predictions": [
                {"class": one.name, "probability": one.probability, "calibrated": one.calibrated}
                for one in outcome.predictions
            ],
            "unfamiliar": outcome.ood,
            "explained_class": outcome.target,
            "maps": {
                layer: _overlay_uri(outcome.seen, heat, opacity) for layer, heat in outcome.maps.items()
            },
        }
        for outcome in outcomes
    ]


def describe_misclassified(page: MisclassifiedPage, *, opacity: float) -> dict[str, Any]:
    """Returns the answer of `/misclassified`, ready for JSON.

    The fields are those of `MisclassifiedPage` and `MisclassifiedImage`, in which `image` is a PNG as data URI,
    `votes` goes from class to share, and `maps` has an overlay for the `predicted` and one for the `true` class.
    Raises `RequestError` if the opacity is not in [0, 1].
    """
    check_opacity(opacity)
    return {**vars(page), "images": [_described(image, opacity) for image in page.images]}


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Returns uint8 RGB pixels `(H, W, 3)` as a data URI of a PNG file.

    >>> png_uri(np.zeros((1, 1, 3), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _described(image: MisclassifiedImage, opacity: float) -> dict[str, Any]:
    fields = dict(vars(image))
    seen, maps = fields.pop("seen"), image.maps
    fields["image"] = None if seen is None else png_uri(seen)
    fields["votes"] = None if image.votes is None else dict(image.votes)
    fields["recheck"] = image.recheck and asdict(image.recheck)
    fields["calibrated"] = image.calibrated and list(image.calibrated)
    if maps is not None:
        overlays = [_overlay_uri(seen, heat, opacity) for heat in maps]
        fields["maps"] = dict(zip(("predicted", "true"), overlays, strict=True))
    return fields


def _overlay_uri(seen: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float) -> str:
    return png_uri(overlay(seen, heat, opacity=opacity, scale=SCALE))
