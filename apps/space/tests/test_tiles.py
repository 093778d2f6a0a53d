"""The confusion matrix and the tiles as HTML, read by a parser."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_explain import Recheck
from cifar_space import ANY, MisclassifiedImage, MisclassifiedOptions, MisclassifiedPage, Service
from cifar_space.views.error_tiles import matrix, tiles

HOSTILE = "\"><img src=x onerror=alert(1)>'&lt;${alert(2)}"
NAMES = ["cat", "dog", HOSTILE]
COUNTS = np.array([[7, 2, 0], [1, 8, 3], [0, 4, 5]])

IMAGE = MisclassifiedImage(
    index=42,
    true="cat",
    predicted=HOSTILE,
    confidence=0.75,
    true_probability=0.125,
    loss=2.079,
    seen=np.zeros((32, 32, 3), np.uint8),
    votes=((HOSTILE, 0.6), ("cat", 0.39), ("dog", 0.01)),
    verdict="label doubtful",
    recheck=Recheck(0, 2, votes_given=1, votes_guessed=3, votes_neither=1, votes_both=0),
    maps=np.zeros((2, 32, 32), np.float32),
)


def page_of(*images: MisclassifiedImage, layer: str | None = None) -> MisclassifiedPage:
    return MisclassifiedPage(images, 1, 1, len(images), len(images), 9, layer)


def buttons(page: Any) -> dict[tuple[int, int], dict[str, str]]:
    return {
        (int(attributes["data-true"]), int(attributes["data-predicted"])): attributes
        for tag, attributes in page.tags
        if tag == "button"
    }


def test_each_kind_of_error_and_each_class_is_a_button(parse: type[Any]) -> None:
    found = buttons(parse(matrix(COUNTS, NAMES)))
    assert set(found) == {
        (-1, 0),
        (-1, 1),
        (-1, 2),
        (0, -1),
        (1, -1),
        (2, -1),
        (0, 1),
        (1, 0),
        (1, 2),
        (2, 1),
    }
    assert found[1, 2]["aria-label"] == f"dog taken for {HOSTILE}: 3"
    assert found[-1, 1]["aria-label"] == "all taken for dog: 6"
    assert found[1, -1]["aria-label"] == "all of dog: 4"
    assert {attributes["aria-pressed"] for attributes in found.values()} == {"false"}


@pytest.mark.parametrize(
    ("true", "predicted", "key"), [("dog", "cat", (1, 0)), (ANY, "dog", (-1, 1)), ("cat", ANY, (0, -1))]
)
def test_what_is_chosen_is_marked_and_first_in_reach(
    parse: type[Any], true: str, predicted: str, key: tuple[int, int]
) -> None:
    found = buttons(parse(matrix(COUNTS, NAMES, true=true, predicted=predicted)))
    assert [cell for cell, attributes in found.items() if attributes["aria-pressed"] == "true"] == [key]
    assert [cell for cell, attributes in found.items() if attributes["tabindex"] == "0"] == [key]


@given(
    st.lists(st.integers(0, 10_000), min_size=9, max_size=9),
    st.sampled_from([ANY, *NAMES]),
    st.sampled_from(NAMES),
)
def test_one_button_is_always_in_reach(counts: list[int], true: str, predicted: str) -> None:
    html = matrix(np.reshape(counts, (3, 3)), NAMES, true=true, predicted=predicted)
    assert html.count('tabindex="0"') == 1
    shares = [float(share) for share in re.findall(r"--share:([\d.]+)", html)]
    assert all(0 <= share <= 1 for share in shares)


def test_a_tile_tells_its_numbers(parse: type[Any]) -> None:
    text = parse(tiles(page_of(IMAGE, layer="layer1"))).text.replace("\u00a0", " ")
    for told in ("no. 42", "75.0 %", "12.5 %", "2.08", "1 of 5 people saw only cat", "label doubtful"):
        assert told in text
    assert f"People: {HOSTILE} 60.0 %, cat 39.0 %" in text
    assert "dog" not in text


def test_maps_are_shown_for_both_classes(parse: type[Any]) -> None:
    page = parse(tiles(page_of(IMAGE, layer="layer1")))
    assert [image["alt"] for image in page.images("heat")] == [
        f"Where layer1 sees evidence for {HOSTILE}",
        "Where layer1 sees evidence for cat",
    ]
    assert len(page.images("photo")) == 3
    plain = parse(tiles(page_of(dataclasses.replace(IMAGE, maps=None))))
    assert (len(plain.images("photo")), plain.images("heat")) == (1, [])


def test_what_is_not_known_is_not_said(parse: type[Any]) -> None:
    bare = dataclasses.replace(IMAGE, seen=None, votes=None, verdict=None, recheck=None, maps=None)
    page = parse(tiles(page_of(bare)))
    assert "no. 42" in page.text
    assert not any(tag == "img" for tag, _ in page.tags)
    for word in ("People", "re-checked", "doubtful", "loss doubtful"):
        assert word not in page.text


def test_nothing_from_a_gallery_becomes_html(parse: type[Any]) -> None:
    page = parse(
        matrix(COUNTS, NAMES) + tiles(page_of(IMAGE, layer=HOSTILE), true=HOSTILE, predicted=HOSTILE)
    )
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert {attributes["src"][:5] for tag, attributes in page.tags if tag == "img"} == {"data:"}


def test_pages_say_where_they_are(run_service: Service, parse: type[Any]) -> None:
    total = len(run_service.misclassified.errors)
    last = run_service.misclassified_page(MisclassifiedOptions(count=30, page=2))
    assert f"Images 25 to 30 of the first 30 of {total} errors" in parse(tiles(last)).text
    ships = run_service.misclassified_page(MisclassifiedOptions(true="ship"))
    assert "errors of ship" in parse(tiles(ships, true="ship")).text
    none = run_service.misclassified_page(MisclassifiedOptions(true="cat", predicted="cat"))
    assert tiles(none) == '<p class="notice">There are no errors of this kind.</p>'
    assert "every image was classified rightly" in tiles(dataclasses.replace(none, total=0))
