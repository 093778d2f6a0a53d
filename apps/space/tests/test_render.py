"""The page's HTML, read by a parser."""

import base64
import dataclasses
import io
import re
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
from cifar_space.views.render import (
    cards,
    header,
    matrix,
    missing,
    model_page,
    notice,
    ood_note,
    percent,
    tiles,
)

HOSTILE = "\"></code><img src=x onerror=alert(1)>'&lt;${alert(2)}{{7*7}}"
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


class Page(HTMLParser):
    """Tags with their attributes, and the text; fails where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open = []
        self.tags = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def images(self, kind):
        return [attributes for tag, attributes in self.tags if tag == "img" and attributes["class"] == kind]


def pixels(uri):
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as image:
        return np.asarray(image)


def answer(name="a.png", **maps):
    seen = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    predictions = (Prediction("cat", 0.75), Prediction("dog", 0.0004))
    return Answer(name, seen, predictions, "cat" if maps else None, maps)


def page_of(*images, layer=None):
    return MisclassifiedPage(images, 1, 1, len(images), len(images), 9, layer)


@given(st.floats(0, 1))
def test_percent_is_honest(probability):
    text = percent(probability)
    number = float(re.sub("[<> %]", "", text))
    assert abs(number - 100 * probability) <= 0.1
    assert (text == "0.0 %") == (probability == 0)
    assert (text == "100.0 %") == (probability == 1)


def test_header_names_model_classes_and_accuracy(service):
    count = sum(tensor.numel() for tensor in service.weights.model.parameters())
    text = Page(header(service.facts)).text
    for part in ("CIFAR-10", f"whitenet, a network with {count:,} parameters", "ship and truck", "87.5 %"):
        assert part in text
    for accuracy in ("high", 2.0, float("nan")):
        facts = gather_facts(dataclasses.replace(service.weights, metrics={"test_accuracy": accuracy}))
        assert "%" not in Page(header(facts)).text


@pytest.mark.parametrize(
    ("classes", "words"), [(2, "two classes: kind 0 and kind 1"), (11, "11 classes: kind 0, ")]
)
def test_header_counts_own_classes(service, classes, words):
    spec = dataclasses.replace(service.weights.spec, classes=tuple(f"kind {n}" for n in range(classes)))
    text = Page(header(gather_facts(dataclasses.replace(service.weights, spec=spec)))).text
    assert words in text
    assert "CIFAR-10" not in text


def test_a_card_shows_the_answer():
    heat = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    one = answer(layer1=heat, layer2=1 - heat)
    page = Page(cards([one]))
    for part in ("75.0 %", "< 0.1 %", "evidence for cat"):
        assert part in page.text
    # The page's only heading above it is of the first order.
    assert [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")] == ["h2"]
    assert [np.array_equal(pixels(image["src"]), one.seen) for image in page.images("photo")] == [True] * 3
    assert [image["alt"] for image in page.images("heat")] == [
        "Where layer1 sees evidence for cat",
        "Where layer2 sees evidence for cat",
    ]
    bare = Page(cards([answer()]))
    assert (len(bare.images("photo")), bare.images("heat")) == (1, [])
    assert "evidence" not in bare.text
    assert "Choose a layer" in Page(cards([answer()], no_layer=True)).text


def test_heat_over_photo_is_the_overlay_at_any_opacity():
    # Mixed as the browser does, at the least size at which the page draws them.
    one = answer(layer1=np.random.default_rng(1).random((32, 32), dtype=np.float32))
    page = Page(cards([one]))
    photo = pixels(page.images("photo")[0]["src"]).repeat(4, axis=0).repeat(4, axis=1)
    heat = pixels(page.images("heat")[0]["src"])
    for opacity in (0.0, 0.3, 1.0):
        mixed = np.rint((1 - opacity) * photo + opacity * heat)
        assert np.array_equal(mixed, overlay(one.seen, one.maps["layer1"], opacity=opacity, scale=4))


@pytest.mark.parametrize(("peak", "dark"), [(0.0, True), (0.003, True), (0.1, False), (1.0, False)])
def test_a_dark_map_says_so(peak, dark):
    heat = np.zeros((32, 32), np.float32)
    heat[3, 4] = peak
    text = Page(cards([answer(layer1=heat, layer2=np.ones_like(heat))])).text
    assert ("layer1: no evidence" in text) is dark
    assert "layer2: no evidence" not in text


def test_out_of_distribution_is_marked_and_its_rate_stated(run_service, service):
    (one,) = run_service.answer(example_paths()[:1], Options(explain=False))
    for ood in (True, False):
        text = Page(cards([dataclasses.replace(one, ood=ood)])).text
        assert ("out of distribution" in text) is ood
        assert "before calibration" in text
    rate = f"{run_service.ood_detector.false_positive_rate:.1%}".replace("%", " %")
    assert f"False positive rate: {rate} of 120" in Page(ood_note(run_service.ood_detector)).text
    (plain,) = service.answer(example_paths()[:1], Options(explain=False))
    assert "calibration" not in Page(cards([plain])).text


def test_rejected_files_and_errors_are_announced():
    for html in (cards([RejectedFile("a", "b")]), notice("error", alert=True), notice("hint")):
        roles = [attributes.get("role") for _, attributes in Page(html).tags]
        assert roles.count("alert") == ("hint" not in html)


def test_hostile_text_stays_text(service):
    weights = dataclasses.replace(
        service.weights,
        spec=dataclasses.replace(CIFAR10, classes=(HOSTILE, *"abcdefghi")),
        recipe={"recipe": HOSTILE, HOSTILE: [HOSTILE]},
        metrics={HOSTILE: 1.5, "data_fingerprint": HOSTILE, "test_accuracy": 7, "val_loss": True},
    )
    facts = gather_facts(weights, report=Report({"command": ["x", HOSTILE]}, {}))
    assert "val_loss" not in facts.metrics
    heat = np.ones((32, 32), np.float32)
    mapped = dataclasses.replace(answer(HOSTILE), maps={HOSTILE: heat}, target=HOSTILE)
    for html, times in (
        (cards([mapped, RejectedFile(HOSTILE, HOSTILE)]), 5),
        (notice(HOSTILE) + notice(HOSTILE, alert=True), 2),
        (header(facts), 1),
        (model_page(facts), 5),
        (matrix(COUNTS, NAMES), 2),
        (tiles(page_of(IMAGE, layer=HOSTILE), true=HOSTILE, predicted=HOSTILE), 6),
        (missing("gallery", HOSTILE, None, NAMES), 1),
    ):
        page = Page(html)
        assert page.text.count(HOSTILE) >= times
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert {attributes["src"][:5] for tag, attributes in page.tags if tag == "img"} <= {"data:"}


def buttons(page):
    return {
        (int(attributes["data-true"]), int(attributes["data-predicted"])): attributes
        for tag, attributes in page.tags
        if tag == "button"
    }


def test_each_kind_of_error_and_each_class_is_a_button():
    found = buttons(Page(matrix(COUNTS, NAMES)))
    heads = {(-1, k) for k in range(3)} | {(k, -1) for k in range(3)}
    assert set(found) == heads | {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert found[1, 2]["aria-label"] == f"dog predicted as {HOSTILE}: 3"
    assert found[-1, 1]["aria-label"] == "all predicted as dog: 6"
    assert found[1, -1]["aria-label"] == "all of dog: 4"
    assert {attributes["aria-pressed"] for attributes in found.values()} == {"false"}


@pytest.mark.parametrize(
    ("true", "predicted", "key"), [("dog", "cat", (1, 0)), (ANY, "dog", (-1, 1)), ("cat", ANY, (0, -1))]
)
def test_the_chosen_cell_is_marked_and_first_in_reach(true, predicted, key):
    found = buttons(Page(matrix(COUNTS, NAMES, true=true, predicted=predicted)))
    assert [cell for cell, attributes in found.items() if attributes["aria-pressed"] == "true"] == [key]
    assert [cell for cell, attributes in found.items() if attributes["tabindex"] == "0"] == [key]


@given(
    st.lists(st.integers(0, 10_000), min_size=9, max_size=9),
    st.sampled_from([ANY, *NAMES]),
    st.sampled_from(NAMES),
)
def test_one_button_is_always_in_reach(counts, true, predicted):
    html = matrix(np.reshape(counts, (3, 3)), NAMES, true=true, predicted=predicted)
    assert html.count('tabindex="0"') == 1
    shares = [float(share) for share in re.findall(r"--share:([\d.]+)", html)]
    assert all(0 <= share <= 1 for share in shares)


def test_a_tile_shows_its_numbers_and_maps():
    page = Page(tiles(page_of(IMAGE, layer="layer1")))
    text = page.text.replace("\u00a0", " ")
    for part in ("no. 42", "75.0 %", "12.5 %", "2.08", "1 of 5 people saw only cat", "label doubtful"):
        assert part in text
    assert f"People: {HOSTILE} 60.0 %, cat 39.0 %" in text
    assert "dog" not in text
    assert [image["alt"] for image in page.images("heat")] == [
        f"Where layer1 sees evidence for {HOSTILE}",
        "Where layer1 sees evidence for cat",
    ]
    assert len(page.images("photo")) == 3


def test_a_tile_leaves_out_what_is_unknown():
    plain = Page(tiles(page_of(dataclasses.replace(IMAGE, maps=None))))
    assert (len(plain.images("photo")), plain.images("heat")) == (1, [])
    bare = dataclasses.replace(IMAGE, seen=None, votes=None, verdict=None, recheck=None, maps=None)
    page = Page(tiles(page_of(bare)))
    assert "no. 42" in page.text
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not [word for word in ("People", "re-checked", "doubtful") if word in page.text]
    assert (
        "the model's own error"
        in Page(tiles(page_of(dataclasses.replace(bare, verdict="the model's own")))).text
    )


def test_pages_of_errors_are_counted(run_service):
    total = len(run_service.misclassified.errors)
    last = run_service.misclassified_page(MisclassifiedOptions(count=30, page=2))
    text = Page(tiles(last)).text
    assert f"25 to 30 of {total} errors" in text
    assert f"{total} errors of" not in text
    ships = run_service.misclassified_page(MisclassifiedOptions(true="ship", predicted="cat"))
    assert "of ship predicted as cat" in Page(tiles(ships, true="ship", predicted="cat")).text
    none = run_service.misclassified_page(MisclassifiedOptions(true="cat", predicted="cat"))
    assert tiles(none) == '<p class="notice">There are no errors of this kind.</p>'
    assert "every image is classified correctly" in tiles(dataclasses.replace(none, total=0))


def test_the_models_page_shows_what_is_known(run_service, service):
    page = Page(model_page(run_service.facts, run_service.report))
    sha256, command = run_service.weights.sha256, "uv run cifar-train --seed 1"
    for part in (sha256, "87.5 %", "12ab", command, *USE.split("\n")):
        assert part in page.text
    bare = Page(model_page(service.facts)).text
    assert "Neither the command nor the recipe is known" in bare
    for title in ("Each class", "Calibration", "Out-of-distribution detection"):
        assert title in page.text
        assert title not in bare


def test_figures_come_in_both_themes(run_service):
    tags = Page(model_page(run_service.facts, run_service.report)).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    sources = {image["class"]: Path(image["src"].removeprefix("gradio_api/file=")) for image in images}
    assert {kind: path.name for kind, path in sources.items()} == {
        "report by-day": "curves.png",
        "report by-night": "curves-dark.png",
    }
    assert all(path.is_file() for path in sources.values())
    assert {image["loading"] for image in images} == {"lazy"}


def test_dots_of_the_reliability_diagram_lie_on_the_curve(run_service):
    curve = ReliabilityCurve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.25, 0.0]), np.array([1, 2, 1]))
    facts = dataclasses.replace(run_service.facts, calibration=Calibration(curve, curve))
    page = Page(model_page(facts))
    dots = [(float(one["cx"]), float(one["cy"])) for tag, one in page.tags if tag == "circle"]
    (ideal,) = [one for tag, one in page.tags if tag == "line" and one["class"] == "ideal"]
    left, bottom, right, top = (float(ideal[name]) for name in ("x1", "y1", "x2", "y2"))
    assert dots[:3] == dots[3:]
    shares = [((x - left) / (right - left), (y - bottom) / (top - bottom)) for x, y in dots[:3]]
    assert np.allclose(shares, [(0, 1), (0.5, 0.25), (1, 0)])
    assert "expected calibration error 62.5 %" in page.text


def test_undefined_rates_have_no_bar(run_service):
    report = dataclasses.replace(run_service.facts.classes_report[0], recall=np.nan, precision=np.nan)
    html = model_page(dataclasses.replace(run_service.facts, classes_report=(report,)))
    assert "<td><small>no images</small></td><td><small>never predicted</small></td>" in html
    assert "track" not in html


@pytest.mark.parametrize("own", [True, False])
def test_a_missing_gallery_is_made_from_the_models_own_images(own):
    classes = ("a", "b") if own else CIFAR10.classes
    html = missing("gallery", "uv run <it>", None, classes)
    assert "uv run &lt;it&gt;" in html
    assert "--gallery" in html
    assert ("--data.root" in html) is own
    assert "makes" not in missing("gallery", None, None, classes)


def test_missing_images_are_replaced_by_the_reports_figure(run_service):
    page = Page(missing("images", "uv run it", run_service.report, CIFAR10.classes))
    assert "uv run it" in page.text
    assert [Path(attributes["src"]).name for tag, attributes in page.tags if tag == "img"] == [
        "misclassified.png"
    ]
    assert missing("images", None, None, CIFAR10.classes) == ""
