"""The page's HTML, read by a parser."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_explain import Recheck, ReliabilityCurve, overlay
from cifar_models import CIFAR10
from cifar_space import (
    ANY,
    USE,
    Answer,
    Calibration,
    MisclassifiedImage,
    MisclassifiedOptions,
    MisclassifiedPage,
    Options,
    Prediction,
    RejectedFile,
    Report,
    example_paths,
    gather_facts,
)
from cifar_space.views import render

HOSTILE = "\"></code><img src=x onerror=alert(1)>'&lt;${alert(2)}{{7*7}}"
NAMES = ["cat", "dog", HOSTILE]
COUNTS = np.array([[7, 2, 0], [1, 8, 3], [0, 4, 5]])
HEAT = np.random.default_rng(1).random((32, 32), dtype=np.float32)
ANSWER = Answer(
    name="a.png",
    seen=np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8),
    predictions=(Prediction("cat", 0.75), Prediction("dog", 0.0004)),
    target="cat",
    maps={"layer1": HEAT, "layer2": 1 - HEAT},
)
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


class Page(HTMLParser):
    """Tags with their attributes, and the text; fails where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        self.open += [] if tag in ("img", "input") else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data.replace("\u00a0", " ")

    def all(self, tag, kind=None):
        """The attributes of all tags of a kind, perhaps of one class only."""
        return [one for name, one in self.tags if name == tag and kind in (None, one.get("class"))]

    def alts(self, kind):
        return [image["alt"] for image in self.all("img", kind)]


def card(**changes):
    return Page(render.cards([replace(ANSWER, **changes)]))


def tile(layer=None, **changes):
    return Page(render.tiles(MisclassifiedPage((replace(IMAGE, **changes),), 1, 1, 1, 1, 9, layer)))


def header(facts, **changes):
    """The text of the header of a model with other weights."""
    return Page(render.header(gather_facts(replace(facts.weights, **changes)))).text


def pixels(image):
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


def file_names(images):
    """The names of the report's figures, which have to exist."""
    paths = [Path(image["src"].removeprefix("gradio_api/file=")) for image in images]
    return [path.name for path in paths if path.is_file()]


@given(st.floats(0, 1))
def test_percent_is_honest(probability):
    text = render.percent(probability)
    assert abs(float(re.sub("[<> %]", "", text)) - 100 * probability) <= 0.1
    assert (text == "0.0 %") == (probability == 0)
    assert (text == "100.0 %") == (probability == 1)


def test_header_names_model_classes_and_accuracy(service):
    count = sum(tensor.numel() for tensor in service.weights.model.parameters())
    for part in ("CIFAR-10", f"whitenet, a network with {count:,} parameters", "ship and truck", "87.5 %"):
        assert part in header(service.facts)
    for accuracy in ("high", 2.0, float("nan")):
        assert "%" not in header(service.facts, metrics={"test_accuracy": accuracy})
    for classes, words in ((2, "two classes: kind 0 and kind 1"), (11, "11 classes: kind 0, ")):
        names = tuple(f"kind {number}" for number in range(classes))
        text = header(service.facts, spec=replace(service.weights.spec, classes=names))
        assert words in text
        assert "CIFAR-10" not in text


def test_a_card_shows_the_answer():
    page = card(awaited=("stem",))
    for part in ("75.0 %", "< 0.1 %", "evidence for cat", "stem ..."):
        assert part in page.text
    # The page's only heading above it is of the first order.
    assert [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")] == ["h2"]
    assert [np.array_equal(pixels(photo), ANSWER.seen) for photo in page.all("img", "photo")] == [True] * 4
    assert page.alts("heat") == [f"Where {layer} sees evidence for cat" for layer in ANSWER.maps]
    plain = Page(render.cards([replace(ANSWER, maps={}, target=None)], no_layer=True))
    assert (len(plain.all("img")), "evidence" in plain.text) == (1, False)
    assert "Choose a layer" in plain.text


def test_heat_over_photo_is_the_overlay_at_any_opacity():
    # Mixed as the browser does, at the least size at which the page draws them.
    photo, heat = (pixels(card().all("img", kind)[0]) for kind in ("photo", "heat"))
    photo = photo.repeat(4, axis=0).repeat(4, axis=1)
    for opacity in (0.0, 0.3, 1.0):
        mixed = np.rint((1 - opacity) * photo + opacity * heat)
        assert np.array_equal(mixed, overlay(ANSWER.seen, HEAT, opacity=opacity, scale=4))


@pytest.mark.parametrize(("peak", "dark"), [(0.0, True), (0.003, True), (0.1, False), (1.0, False)])
def test_a_dark_map_says_so(peak, dark):
    heat = np.eye(32, dtype=np.float32) * peak
    text = card(maps={"layer1": heat, "layer2": HEAT}).text
    assert ["layer1: no evidence" in text, "layer2: no evidence" in text] == [dark, False]


def test_out_of_distribution_is_marked_and_its_rate_stated(run_service):
    (one,) = run_service.answer(example_paths()[:1], Options(explain=False))
    for ood in (True, False):
        text = Page(render.cards([replace(one, ood=ood)])).text
        assert ("out of distribution" in text) is ood
        assert "before calibration" in text
    assert "calibration" not in card().text
    rate = render.percent(run_service.ood_detector.false_positive_rate)
    assert f"False positive rate: {rate} of 120" in Page(render.ood_note(run_service.ood_detector)).text


def test_rejected_files_and_errors_are_announced():
    rejected, error = render.cards([RejectedFile("a", "b")]), render.notice("error", alert=True)
    for html, alerts in ((rejected, 1), (error, 1), (render.notice("hint"), 0)):
        assert [one.get("role") for _, one in Page(html).tags].count("alert") == alerts


def test_hostile_text_stays_text(service):
    weights = replace(
        service.weights,
        spec=replace(CIFAR10, classes=(HOSTILE, *"abcdefghi")),
        recipe={"recipe": HOSTILE, HOSTILE: [HOSTILE]},
        metrics={HOSTILE: 1.5, "data_fingerprint": HOSTILE, "test_accuracy": 7, "val_loss": True},
    )
    facts = gather_facts(weights, report=Report({"command": ["x", HOSTILE]}, {}))
    assert "val_loss" not in facts.metrics
    answer = replace(ANSWER, name=HOSTILE, maps={HOSTILE: HEAT}, target=HOSTILE)
    known = MisclassifiedPage((IMAGE,), 1, 1, 1, 1, 9, HOSTILE)
    for html, times in (
        (render.cards([answer, RejectedFile(HOSTILE, HOSTILE)]), 5),
        (render.notice(HOSTILE) + render.notice(HOSTILE, alert=True), 2),
        (render.header(facts), 1),
        (render.model_page(facts), 5),
        (render.matrix(COUNTS, NAMES), 2),
        (render.tiles(known, true=HOSTILE, predicted=HOSTILE), 6),
        (render.missing("gallery", HOSTILE, None, NAMES), 1),
    ):
        page = Page(html)
        assert page.text.count(HOSTILE) >= times
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert {image.get("src", "data:")[:5] for image in page.all("img")} <= {"data:"}


def buttons(**chosen):
    found = Page(render.matrix(COUNTS, NAMES, **chosen)).all("button")
    return {(int(one["data-true"]), int(one["data-predicted"])): one for one in found}


def test_each_kind_of_error_and_each_class_is_a_button():
    found = buttons()
    heads = {(-1, k) for k in range(3)} | {(k, -1) for k in range(3)}
    assert set(found) == heads | {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert found[1, 2]["aria-label"] == f"dog predicted as {HOSTILE}: 3"
    assert found[-1, 1]["aria-label"] == "all predicted as dog: 6"
    assert found[1, -1]["aria-label"] == "all of dog: 4"
    assert {one["aria-pressed"] for one in found.values()} == {"false"}
    # The chosen one is marked, and first in reach.
    for true, predicted, key in (("dog", "cat", (1, 0)), (ANY, "dog", (-1, 1)), ("cat", ANY, (0, -1))):
        found = buttons(true=true, predicted=predicted)
        for attribute, value in (("aria-pressed", "true"), ("tabindex", "0")):
            assert [cell for cell, one in found.items() if one[attribute] == value] == [key]


CLASS = st.sampled_from([ANY, *NAMES])


@given(st.lists(st.integers(0, 10_000), min_size=9, max_size=9), CLASS, CLASS)
def test_one_button_is_always_in_reach(counts, true, predicted):
    html = render.matrix(np.reshape(counts, (3, 3)), NAMES, true=true, predicted=predicted)
    assert html.count('tabindex="0"') == 1
    assert all(0 <= float(share) <= 1 for share in re.findall(r"--share:([\d.]+)", html))


def test_a_tile_shows_its_numbers_and_maps_and_leaves_out_what_is_unknown():
    page = tile(layer="layer1")
    for part in ("no. 42", "75.0 %", "12.5 %", "2.08", "1 of 5 people saw only cat", "label doubtful"):
        assert part in page.text
    assert f"People: {HOSTILE} 60.0 %, cat 39.0 %" in page.text
    assert "dog" not in page.text
    assert page.alts("heat") == [f"Where layer1 sees evidence for {name}" for name in (HOSTILE, "cat")]
    assert len(page.all("img", "photo")) == 3
    calibrated = tile(calibrated=(0.5, 0.25)).text
    assert [part in calibrated for part in ("50.0 %", "25.0 %", "75.0 %")] == [True, True, False]
    assert "the model's own error" in tile(verdict="the model's own").text
    assert len(tile(maps=None).all("img")) == 1
    page = tile(seen=None, votes=None, verdict=None, recheck=None, maps=None)
    assert "no. 42" in page.text
    assert page.all("img") == []
    assert not [word for word in ("People", "re-checked", "doubtful") if word in page.text]


def test_pages_of_errors_are_counted(run_service):
    def tiles(**options):
        return run_service.misclassified_page(MisclassifiedOptions(**options))

    total = len(run_service.misclassified.errors)
    text = Page(render.tiles(tiles(count=30, page=2))).text
    assert f"25 to 30 of {total} errors" in text
    assert f"{total} errors of" not in text
    chosen = {"true": "ship", "predicted": "cat"}
    assert "of ship predicted as cat" in Page(render.tiles(tiles(**chosen), **chosen)).text
    none = tiles(true="cat", predicted="cat")
    assert render.tiles(none) == '<p class="notice">There are no errors of this kind.</p>'
    assert "every image is classified correctly" in render.tiles(replace(none, total=0))


def test_the_models_page_shows_what_is_known(run_service, service):
    page = Page(render.model_page(run_service.facts, run_service.report))
    command = "uv run cifar-train --seed 1"
    for part in (run_service.weights.sha256, "87.5 %", "12ab", command, *USE.split("\n"), "max_epochs"):
        assert part in page.text
    assert len(page.all("tr")) == 11
    bare = Page(render.model_page(service.facts)).text
    assert "Neither the command nor the recipe is known" in bare
    for title in ("Each class", "Calibration", "Out-of-distribution detection"):
        assert title in page.text
        assert title not in bare
    # Figures are there for light and for dark pages.
    assert file_names(page.all("img", "report")) == ["curves.png", "curves-dark.png"]
    assert [one["class"] for one in page.all("button")] == ["enlarge by-day", "enlarge by-night"]
    assert [image["loading"] for image in page.all("img")] == ["lazy"] * 2


def test_dots_of_the_reliability_diagram_lie_on_the_curve(run_service):
    curve = ReliabilityCurve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.25, 0.0]), np.array([1, 2, 1]))
    page = Page(render.model_page(replace(run_service.facts, calibration=Calibration(curve, curve))))
    dots = [(float(one["cx"]), float(one["cy"])) for one in page.all("circle")]
    (ideal,) = page.all("line", "ideal")
    left, bottom, right, top = (float(ideal[name]) for name in ("x1", "y1", "x2", "y2"))
    assert dots[:3] == dots[3:]
    shares = [((x - left) / (right - left), (y - bottom) / (top - bottom)) for x, y in dots[:3]]
    assert np.allclose(shares, [(0, 1), (0.5, 0.25), (1, 0)])
    assert "expected calibration error 62.5 %" in page.text


def test_undefined_rates_have_no_bar(run_service):
    report = replace(run_service.facts.classes_report[0], recall=np.nan, precision=np.nan)
    html = render.model_page(replace(run_service.facts, classes_report=(report,)))
    assert "<td><small>no images</small></td><td><small>never predicted</small></td>" in html
    assert "track" not in html


def test_what_is_missing_has_a_command_and_a_figure_instead(run_service):
    for classes in (CIFAR10.classes, ("a", "b")):
        text = Page(render.missing("gallery", "uv run <it>", None, classes)).text
        assert "uv run <it>" in text
        assert "with --gallery and that folder" in text
        assert ("--data.root" in text) == (classes != CIFAR10.classes)
    assert "restart" not in render.missing("gallery", None, None, CIFAR10.classes)
    page = Page(render.missing("images", "uv run it", run_service.report, CIFAR10.classes))
    assert "uv run it" in page.text
    assert file_names(page.all("img")) == ["misclassified.png"]
    assert render.missing("images", None, None, CIFAR10.classes) == ""
