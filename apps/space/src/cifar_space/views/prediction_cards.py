"""Answers as HTML: a card for each picture. Everything that a visitor can name is escaped."""

from collections.abc import Sequence
from html import escape

from cifar_explain import Familiarity
from cifar_models import CIFAR10, Weights
from cifar_space.service.answers import Answer, Prediction, Refusal
from cifar_space.service.serialize import png_uri
from cifar_space.views.fragments import figure, heated, map_caption, percent, picture

# Width of the maps' images.
_HEAT_PIXELS = 128
# Numbers that prose spells out.
_WORDS = dict(enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=2))


def page_title(classes: Sequence[str]) -> str:
    """Return the page's title, which names CIFAR-10 only where its classes are told apart.

    >>> page_title(["circle", "square"])
    'Classify and explain'
    """
    return "CIFAR-10: classify and explain" if tuple(classes) == CIFAR10.classes else "Classify and explain"


def header(weights: Weights) -> str:
    """Return the top of the page: what it is, which model answers, and how good that is as far as is known."""
    size = weights.spec.size
    parameters = sum(parameter.numel() for parameter in weights.model.parameters())
    names = [escape(name) for name in weights.spec.classes]
    count = _WORDS.get(len(names), f"{len(names):,}")
    accuracy = weights.metrics.get("test_accuracy")
    measured = (
        f" It is right about {percent(float(accuracy))} of the test images."
        if isinstance(accuracy, int | float) and 0 <= accuracy <= 1
        else ""
    )
    return (
        f"<h1>{page_title(weights.spec.classes)}</h1>"
        f"<p>A network, {escape(weights.architecture)} with {parameters:,} parameters, that knows {count} things: "
        f"{', '.join(names[:-1])} and {names[-1]}. It looks at every picture at {size}x{size} pixels and "
        f"names one of them, whatever the picture shows.{measured}</p>"
    )


def promise(familiarity: Familiarity | None) -> str:
    """Return what the hint "like none of its classes" is worth; nothing where the model gives none.

    >>> promise(None)
    ''
    >>> promise(Familiarity(1.0, 0.5, 0.0, false_alarm_rate=0.048, images=2000))
    '<p class="about">A picture that looks like none of its classes is marked. ...4.8 % of 2,000 images ...
    """
    if familiarity is None:
        return ""
    return (
        '<p class="about">A picture that looks like none of its classes is marked. The mark is a guess, from '
        "calibrated probability and energy; it was wrong for "
        f"{percent(familiarity.false_alarm_rate)} of {familiarity.images:,} images of these classes.</p>"
    )


def cards(outcomes: Sequence[Answer | Refusal]) -> str:
    """Return the cards of all pictures, in their order.

    >>> cards([Refusal("<b>.png", "The file is empty.")])
    '<div class="cards"><article class="card refused"><h3>&lt;b&gt;.png</h3><p role="alert">The file is ...
    """
    made = (_refused(one) if isinstance(one, Refusal) else _answered(one) for one in outcomes)
    return f'<div class="cards">{"".join(made)}</div>'


def _refused(refusal: Refusal) -> str:
    return (
        f'<article class="card refused"><h3>{escape(refusal.name)}</h3>'
        f'<p role="alert">{escape(refusal.reason)}</p></article>'
    )


def _answered(answer: Answer) -> str:
    photo = png_uri(answer.seen)
    height, width, _ = answer.seen.shape
    seen = picture(photo, alt=f"{answer.name} as the model sees it, {width}x{height} pixels")
    figures = [figure(seen, f"input {width}x{height}")]
    for layer, heat in answer.maps.items():
        alt = f"Where {layer} sees evidence for {answer.target}"
        figures.append(figure(heated(photo, heat, alt=alt, pixels=_HEAT_PIXELS), map_caption(layer, heat)))
    explained = (
        f'<p class="about">Maps: evidence for <strong>{escape(answer.target)}</strong></p>'
        if answer.target is not None
        else ""
    )
    unfamiliar = '<p class="hint">Looks like none of its classes.</p>' if answer.unfamiliar else ""
    return (
        f'<article class="card"><header><h3>{escape(answer.name)}</h3>{explained}</header>{unfamiliar}'
        f'{_bars(answer.predictions)}<div class="figures">{"".join(figures)}</div></article>'
    )


def _bars(predictions: Sequence[Prediction]) -> str:
    calibrated = any(prediction.calibrated is not None for prediction in predictions)
    head = (
        '<div class="bars-head" aria-hidden="true"><span>probability</span><span>calibrated</span></div>'
        if calibrated
        else ""
    )
    bars = "".join(map(_bar, predictions))
    return f'{head}<ol class="bars{" two" if calibrated else ""}">{bars}</ol>'


def _bar(prediction: Prediction) -> str:
    calibrated = (
        f'<span class="value" aria-label="calibrated">{escape(percent(prediction.calibrated))}</span>'
        if prediction.calibrated is not None
        else ""
    )
    return (
        f'<li><span class="name">{escape(prediction.name)}</span>'
        f'<span class="value">{escape(percent(prediction.probability))}</span>{calibrated}'
        f'<span class="track"><span style="width:{100 * prediction.probability:.2f}%"></span></span></li>'
    )
