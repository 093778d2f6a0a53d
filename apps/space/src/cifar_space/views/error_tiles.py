"""Misclassified images as HTML: the confusion matrix to choose from, and a tile for each image."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from cifar_explain import VERDICTS
from cifar_space.service.misclassified_page import ANY, PAGE_SIZE, MisclassifiedImage, MisclassifiedPage
from cifar_space.service.serialize import png_uri
from cifar_space.views.fragments import figure, heated, map_caption, notice, percent, picture

# Width of the maps' images: tiles are small and many.
_HEAT_PIXELS = 64

# Votes of single people would fill the tile.
_LEAST_SHARE = 0.02


def matrix(counts: NDArray[np.int64], names: Sequence[str], *, true: str = ANY, predicted: str = ANY) -> str:
    """Return the confusion matrix as a table of buttons, of which those chosen are marked.

    A button's `data-true` and `data-predicted` are the indices of its classes, or -1 for any. Right answers are
    no buttons, and neither are errors that do not occur.

    Args:
        counts: Images of each true class (row) taken for each class (column), `(K, K)`.
        names: The K classes.
        true: The true class chosen, or "any".
        predicted: The predicted class chosen, or "any".

    >>> matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"]).count("<button")
    5
    """
    errors = counts - np.diag(counts.diagonal())
    largest = max(1, int(errors.max(initial=0)))
    chosen = (_index(true, names), _index(predicted, names))
    # One stop for the tab key, and a button in any case; from there the arrow keys lead to all others.
    is_button = (-1 in chosen and chosen != (-1, -1)) or (-1 not in chosen and errors[chosen] > 0)
    stop = chosen if is_button else (-1, 0)

    def button(row: int, column: int, text: str, words: str) -> str:
        pressed = "true" if (row, column) == chosen else "false"
        return (
            f'<button type="button" data-true="{row}" data-predicted="{column}" aria-pressed="{pressed}" '
            f'tabindex="{0 if (row, column) == stop else -1}" aria-label="{escape(words)}" '
            f'title="{escape(words)}"><span>{escape(text)}</span></button>'
        )

    def cell(row: int, column: int) -> str:
        count = int(counts[row, column])
        if row == column:
            return f'<td class="right">{count:,}</td>'
        if not count:
            return '<td class="none">0</td>'
        words = f"{names[row]} taken for {names[column]}: {count}"
        return f'<td style="--share:{count / largest:.3f}">{button(row, column, f"{count:,}", words)}</td>'

    heads = "".join(
        f'<th scope="col">{button(-1, k, name, f"all taken for {name}: {errors[:, k].sum()}")}</th>'
        for k, name in enumerate(names)
    )
    rows = "".join(
        f'<tr><th scope="row">{button(k, -1, name, f"all of {name}: {errors[k].sum()}")}</th>'
        f"{''.join(cell(k, column) for column in range(len(names)))}</tr>"
        for k, name in enumerate(names)
    )
    caption = (
        "Confusion matrix: each row a true class, each column what it was taken for. Choose a cell, a row or a "
        "column; the arrow keys move."
    )
    return (
        f'<table class="matrix"><caption>{caption}</caption><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def tiles(page: MisclassifiedPage, *, true: str = ANY, predicted: str = ANY) -> str:
    """Return a page of misclassified images, under a line that says which and how many.

    >>> tiles(MisclassifiedPage((), 1, 1, 0, 0, 9, None), true="cat", predicted="dog")
    '<p class="notice">There are no errors of this kind.</p>'
    """
    if page.total == 0:
        return notice("There are no errors: every image was classified rightly.")
    if not page.images:
        return notice("There are no errors of this kind.")
    which = "" if true == ANY else f" of {escape(true)}"
    which += "" if predicted == ANY else f" taken for {escape(predicted)}"
    first = (page.page - 1) * PAGE_SIZE + 1
    chosen = "" if page.chosen == page.matching else f"the first {page.chosen:,} of "
    errors = f"{page.matching:,} error{'' if page.matching == 1 else 's'}"
    shown = (
        f'<p class="about" role="status">Images {first:,} to {first + len(page.images) - 1:,} of '
        f"{chosen}{errors}{which}</p>"
    )
    wide = " wide" if page.layer is not None else ""
    made = "".join(_tile(image, page.layer) for image in page.images)
    return f'{shown}<ul class="tiles{wide}">{made}</ul>'


def _tile(image: MisclassifiedImage, layer: str | None) -> str:
    figures = []
    if image.seen is not None:
        photo = png_uri(image.seen)
        alt = f"Test image {image.index}: {image.true} taken for {image.predicted}"
        figures.append(figure(picture(photo, alt=alt), f"no. {image.index}"))
        for name, heat in zip(
            (image.predicted, image.true), () if image.maps is None else image.maps, strict=False
        ):
            alt = f"Where {layer} sees evidence for {name}"
            figures.append(figure(heated(photo, heat, alt=alt, pixels=_HEAT_PIXELS), map_caption(name, heat)))
    rows = [
        (image.predicted, percent(image.confidence)),
        (image.true, percent(image.true_probability)),
        ("loss", f"{image.loss:.2f}"),
    ]
    if image.seen is None:
        rows.append(("image", f"no. {image.index}"))
    said = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return (
        f'<li class="tile"><div class="figures">{"".join(figures)}</div>'
        f"<p><strong>{escape(image.true)}</strong> taken for <strong>{escape(image.predicted)}</strong></p>"
        f'<dl class="said">{said}</dl>{_people(image)}</li>'
    )


def _people(image: MisclassifiedImage) -> str:
    lines = []
    if image.votes is not None:
        # The most frequent in any case: votes may be spread over a hundred classes.
        said = [
            f"{name} {percent(share)}".replace(" %", "\u00a0%")
            for rank, (name, share) in enumerate(image.votes)
            if not rank or share >= _LEAST_SHARE
        ]
        lines.append(f"People: {', '.join(said)}")
    if image.recheck is not None:
        check = image.recheck
        votes = check.votes_given + check.votes_guessed + check.votes_neither + check.votes_both
        lines.append(f"Label re-checked: {check.votes_given} of {votes} people saw only {image.true}")
    about = "".join(f'<p class="about">{escape(line)}</p>' for line in lines)
    if image.verdict is None:
        return about
    if image.verdict == VERDICTS[-1]:
        return f'{about}<p class="verdict own">{escape(image.verdict)} error</p>'
    return f'{about}<p class="verdict">{escape(image.verdict)}</p>'


def _index(name: str, names: Sequence[str]) -> int:
    return -1 if name == ANY else list(names).index(name)
