"""HTML from plain data, by Jinja templates that escape everything. Numbers are formatted here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from cifar_explain import VERDICTS, OODDetector, heat_colours, upsample_map
from cifar_models import CIFAR10
from cifar_models.weights.card import TEST_ACCURACIES
from cifar_space.artifacts.files import Report
from cifar_space.artifacts.model_facts import USE, Facts
from cifar_space.service.requests import ANY, PAGE_SIZE, Answer, MisclassifiedPage, RejectedFile
from cifar_space.service.serialize import png_uri

_FOLDER = Path(__file__).parent

#: The page's style sheet.
STYLE_SHEET = _FOLDER / "page.css"

# Numbers that prose spells out.
_WORDS = dict(enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=2))

# Titles of the metrics of `cifar-train`; others are shown under their own names.
_METRICS = {
    **TEST_ACCURACIES,
    "test_loss": "test loss",
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
}


def percent(probability: float) -> str:
    """Returns a probability in [0, 1] as text; neither 0 % nor 100 % unless it is exact.

    >>> percent(0.1234), percent(0.0), percent(1e-9), percent(0.99999), percent(1.0)
    ('12.3 %', '0.0 %', '< 0.1 %', '> 99.9 %', '100.0 %')
    """
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def script(name: str) -> str:
    """Returns JavaScript of the page, which lies in a file of this name."""
    return (_FOLDER / f"{name}.js").read_text(encoding="utf-8")


def page_title(classes: Sequence[str]) -> str:
    """Returns the page's title, which names CIFAR-10 only for those classes."""
    return "CIFAR-10: classify and explain" if tuple(classes) == CIFAR10.classes else "Classify and explain"


def header(facts: Facts) -> str:
    """Returns the top of the page: the model, its classes, and its test accuracy if that is known."""
    accuracy = facts.metrics.get("test_accuracy")
    classes = facts.weights.spec.classes
    return _render(
        "header.html",
        title=page_title(classes),
        facts=facts,
        count=_WORDS.get(len(classes), f"{len(classes):,}"),
        accuracy=accuracy if accuracy is not None and 0 <= accuracy <= 1 else None,
        ramp=np.linspace(0, 1, 64, dtype=np.float32)[None],
    )


def notice(text: str, *, alert: bool = False) -> str:
    """Returns a message in place of answers: a hint, or with `alert` one that screen readers announce.

    >>> notice("Too many.", alert=True)
    '<p class="notice alert" role="alert">Too many.</p>'
    """
    return _render("notice.html", text=text, alert=alert)


def ood_note(ood_detector: OODDetector) -> str:
    """Returns how out-of-distribution images are marked, and how reliable that is."""
    return _render("notes.html", ood_detector=ood_detector)


def maps_note(report: Report | None) -> str:
    """Returns the meaning of a dark map, with a hint at the report's figure on faithfulness if it has one."""
    return _render("notes.html", ood_detector=None, judged=bool(report and "faithfulness" in report.figures))


def cards(
    outcomes: Sequence[Answer | RejectedFile],
    *,
    originals: Sequence[str] = (),
    left_out: Sequence[str] = (),
    no_layer: bool = False,
) -> str:
    """Returns a card for each answer to the visitor's files `originals`, or to an example.

    `left_out` are files that are too many; `no_layer` asks for a layer.
    """
    names = [Path(path).name for path in left_out]
    return _render("cards.html", outcomes=outcomes, originals=originals, left_out=names, no_layer=no_layer)


def matrix(counts: NDArray[np.int64], names: Sequence[str], *, true: str = ANY, predicted: str = ANY) -> str:
    """Returns the confusion matrix `(K, K)`, true classes in rows, as a table of buttons with the chosen one marked.

    A button's `data-true` and `data-predicted` are the indices of its classes, or -1 for any. Right answers are
    no buttons, and neither are errors that do not occur.
    """
    errors = counts - np.diag(counts.diagonal())
    row, column = (-1 if name == ANY else list(names).index(name) for name in (true, predicted))
    # One stop for the tab key, and a button in any case; from there the arrow keys lead to all others.
    is_button = (row < 0) != (column < 0) or (row >= 0 and column >= 0 and errors[row, column] > 0)
    return _render(
        "matrix.html",
        counts=counts.tolist(),
        names=names,
        of_true=errors.sum(axis=1).tolist(),
        of_predicted=errors.sum(axis=0).tolist(),
        largest=max(1, int(errors.max(initial=0))),
        chosen=(row, column),
        stop=(row, column) if is_button else (-1, 0),
    )


def tiles(page: MisclassifiedPage, *, true: str = ANY, predicted: str = ANY) -> str:
    """Returns a page of misclassified images, under a line that counts them."""
    if page.total == 0:
        return notice("There are no errors: every image is classified correctly.")
    if not page.images:
        return notice("There are no errors of this kind.")
    return _render(
        "tiles.html",
        page=page,
        first=(page.page - 1) * PAGE_SIZE + 1,
        true_class=true,
        predicted_class=predicted,
        any=ANY,
        own=VERDICTS[-1],
    )


def missing(part: str, command: str | None, report: Report | None, classes: Sequence[str]) -> str:
    """Returns a substitute for the "gallery", or for its "images": the report's figure, and how to make them."""
    return _render(
        "missing.html",
        part=part,
        command=command,
        figure=report.figures.get("misclassified") if report else None,
        # The command finds the images of CIFAR-10 by itself.
        own_images=tuple(classes) != CIFAR10.classes,
    )


def model_page(facts: Facts, report: Report | None = None) -> str:
    """Returns the tab of the model: its facts, and the report's figures."""
    # The page draws some itself, from the gallery.
    drawn = {"misclassified"} | ({"classes", "reliability", "confusion"} if facts.split else set())
    names = [*_METRICS, *sorted(facts.metrics.keys() - _METRICS)]
    return _render(
        "model.html",
        facts=facts,
        weights=facts.weights,
        spec=facts.weights.spec,
        titles={name: _METRICS.get(name, name) for name in names if name in facts.metrics},
        figures=[figure for name, figure in (report.figures if report else {}).items() if name not in drawn],
        recipe=json.dumps(dict(facts.weights.recipe), indent=2, ensure_ascii=False, sort_keys=True),
        use=USE,
    )


def _heat(heat: NDArray[np.float32], pixels: int) -> str:
    # Upsampled before it is coloured, so that the browser, which lays it over the input with an opacity of the page's
    # style, shows what `cifar_explain.overlay` would.
    side = max(pixels, *heat.shape)
    return png_uri(heat_colours(upsample_map(heat, (side, side))))


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(values).strip()


_TEMPLATES = Environment(
    loader=PackageLoader("cifar_space", "views/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    percent=percent,
    grouped="{:,}".format,
    fixed=lambda value, digits: f"{value:.{digits}f}",
    png=png_uri,
    heat=_heat,
    json=lambda value: json.dumps(value, ensure_ascii=False),
    # Relative, since the page may lie below any path of a reverse proxy.
    address=lambda path: f"gradio_api/file={quote(str(path))}",
)
_TEMPLATES.tests.update(
    # Less than one step of the 256 that a colour has.
    dark=lambda heat: heat.max(initial=0) < 1 / 255,
    rejected=lambda outcome: isinstance(outcome, RejectedFile),
    nan=lambda share: share != share,
)
