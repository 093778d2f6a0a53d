"""Answers as HTML: a card for each picture. Everything that a visitor can name is escaped.

A map lies over its picture as a second image, whose opacity is the style property `--heat-opacity` of the page:
the browser mixes the two as `cifar_explain.overlay` does, so another opacity needs nothing from the server.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from cifar_explain import enlarge_map, heat_colours
from cifar_models import Weights
from cifar_space.answers import Answer, Prediction, Refusal
from cifar_space.describe import png_uri

# Enlarged before it is coloured, as in `cifar_explain.overlay`; the browser scales the rest of the way.
_HEAT_PIXELS = 128


def header(weights: Weights) -> str:
    """Return the top of the page: what it is, which model answers, and how good that is as far as is known."""
    size = weights.spec.size
    names = [escape(name) for name in weights.spec.classes]
    accuracy = weights.metrics.get("test_accuracy")
    measured = (
        f" It is right about {percent(float(accuracy))} of the test images."
        if isinstance(accuracy, int | float) and 0 <= accuracy <= 1
        else ""
    )
    return (
        "<h1>Classify and explain</h1>"
        f"<p>A small network, {escape(weights.architecture)}, that knows ten things: {', '.join(names[:-1])} and "
        f"{names[-1]}. It looks at every picture at {size}x{size} pixels and names one of them, "
        f"whatever the picture shows.{measured}</p>"
    )


def cards(outcomes: Sequence[Answer | Refusal]) -> str:
    """Return the cards of all pictures, in their order.

    >>> cards([Refusal("<b>.png", "The file is empty.")])
    '<div class="cards"><article class="card refused"><h3>&lt;b&gt;.png</h3><p role="alert">The file is ...
    """
    made = (_refused(one) if isinstance(one, Refusal) else _answered(one) for one in outcomes)
    return f'<div class="cards">{"".join(made)}</div>'


def notice(text: str, *, alert: bool = False) -> str:
    """Return a message in place of the cards: a hint, or with `alert` one that screen readers announce.

    >>> notice("Add a picture.")
    '<p class="notice">Add a picture.</p>'
    >>> notice("Too many.", alert=True)
    '<p class="notice alert" role="alert">Too many.</p>'
    """
    attributes = 'class="notice alert" role="alert"' if alert else 'class="notice"'
    return f"<p {attributes}>{escape(text)}</p>"


def percent(probability: float) -> str:
    """Return a probability in [0, 1] as text; neither 0 % nor 100 % unless it is exact.

    >>> percent(0.1234), percent(0.0), percent(1e-9), percent(0.99999), percent(1.0)
    ('12.3 %', '0.0 %', '< 0.1 %', '> 99.9 %', '100.0 %')
    """
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def _refused(refusal: Refusal) -> str:
    return (
        f'<article class="card refused"><h3>{escape(refusal.name)}</h3>'
        f'<p role="alert">{escape(refusal.reason)}</p></article>'
    )


def _answered(answer: Answer) -> str:
    name = escape(answer.name)
    photo = png_uri(answer.seen)
    height, width, _ = answer.seen.shape
    seen = f'<img class="photo" src="{photo}" alt="{name} as the model sees it, {width}x{height} pixels">'
    figures = [_figure(seen, f"input {width}x{height}")]
    for layer, heat in answer.maps.items():
        alt = f"Where {escape(layer)} sees evidence for {escape(answer.target or '')}"
        stacked = (
            f'<img class="photo" src="{photo}" alt="">'
            f'<img class="heat" src="{png_uri(_coloured(heat))}" alt="{alt}">'
        )
        figures.append(_figure(stacked, layer))
    explained = (
        f'<p class="about">Maps: evidence for <strong>{escape(answer.target)}</strong></p>'
        if answer.target is not None
        else ""
    )
    bars = "".join(map(_bar, answer.predictions))
    return (
        f'<article class="card"><header><h3>{name}</h3>{explained}</header><div class="body">'
        f'<ol class="bars">{bars}</ol><div class="figures">{"".join(figures)}</div></div></article>'
    )


def _figure(images: str, caption: str) -> str:
    return f'<figure><div class="stack">{images}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _bar(prediction: Prediction) -> str:
    return (
        f'<li><span class="name">{escape(prediction.name)}</span>'
        f'<span class="value">{escape(percent(prediction.probability))}</span>'
        f'<span class="track"><span style="width:{100 * prediction.probability:.2f}%"></span></span></li>'
    )


def _coloured(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    side = max(_HEAT_PIXELS, *heat.shape)
    return heat_colours(enlarge_map(heat, (side, side)))
