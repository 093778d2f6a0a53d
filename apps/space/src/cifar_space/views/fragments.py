"""Small pieces of HTML that several parts of the page share. Everything that a file or a visitor names is escaped."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from cifar_explain import enlarge_map, heat_colours
from cifar_space.service.serialize import png_uri


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


def notice(text: str, *, alert: bool = False) -> str:
    """Return a message in place of answers: a hint, or with `alert` one that screen readers announce.

    >>> notice("Add a picture.")
    '<p class="notice">Add a picture.</p>'
    >>> notice("Too many.", alert=True)
    '<p class="notice alert" role="alert">Too many.</p>'
    """
    attributes = 'class="notice alert" role="alert"' if alert else 'class="notice"'
    return f"<p {attributes}>{escape(text)}</p>"


def picture(photo: str, *, alt: str) -> str:
    """Return a picture with square pixels.

    Args:
        photo: Its address: a data URI.
        alt: What it shows.

    >>> picture("data:,", alt="a cat")
    '<img class="photo" src="data:," alt="a cat">'
    """
    return f'<img class="photo" src="{photo}" alt="{escape(alt)}">'


def heated(photo: str, heat: NDArray[np.float32], *, alt: str, pixels: int) -> str:
    """Return a picture with a map over it, two images that the browser mixes.

    The upper one's opacity is a style property of the page: mixed so, they are what `cifar_explain.cam.overlay`
    makes, and another opacity needs nothing from the server.

    Args:
        photo: The picture's address: a data URI.
        heat: Map `(h, w)` in [0, 1].
        alt: What the map shows.
        pixels: Width of the map's image. It is enlarged before it is coloured, as in `overlay`; the browser
            scales it the rest of the way.

    >>> heated("data:,", np.zeros((4, 4), np.float32), alt="Evidence", pixels=8)[:60]
    '<img class="photo" src="data:," alt=""><img class="heat" src'
    """
    side = max(pixels, *heat.shape)
    coloured = heat_colours(enlarge_map(heat, (side, side)))
    return f'{picture(photo, alt="")}<img class="heat" src="{png_uri(coloured)}" alt="{escape(alt)}">'


def map_caption(name: str, heat: NDArray[np.float32]) -> str:
    """Return the caption of a map, which says so where the map found nothing: drawn, it is dark all over.

    >>> map_caption("layer2", np.zeros((2, 2), np.float32)), map_caption("layer2", np.eye(2, dtype=np.float32))
    ('layer2: no evidence', 'layer2')
    """
    # Less than one step of the 256 that a colour has.
    return f"{name}: no evidence" if heat.max(initial=0) < 1 / 255 else name


def about_dark_maps(*, judged: bool) -> str:
    """Return what a map means that is dark all over.

    Args:
        judged: Whether the page of the model has a figure on the faithfulness of the maps.

    >>> about_dark_maps(judged=False)
    '<p class="about">A dark map found no evidence for the class in that layer.</p>'
    """
    figure = " The figure on faithfulness in the tab Model tells which maps to believe." if judged else ""
    return f'<p class="about">A dark map found no evidence for the class in that layer.{figure}</p>'


def figure(images: str, caption: str) -> str:
    """Return images lying over one another, with a caption.

    >>> figure("", "input")
    '<figure><div class="stack"></div><figcaption>input</figcaption></figure>'
    """
    return f'<figure><div class="stack">{images}</div><figcaption>{escape(caption)}</figcaption></figure>'
