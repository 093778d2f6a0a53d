"""The third tab; the page for a stranger's model."""

import dataclasses
import json

import pytest
from PIL import Image

from cifar_explain import write_gallery
from cifar_models import CIFAR10, save_weights
from cifar_space import PAGE_SIZE, load_service, of_run

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect

HOSTILE = "<img src=x onerror=alert(1)>${alert(2)}{{7*7}}"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_barrier_in_any_tab_nor_in_the_large_view(open_page, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(theme=theme)
    for tab in ("Misclassified", "Model", "Classify"):
        page.get_by_role("tab", name=tab).click()
        assert axe.run(page).response["violations"] == []
    page.locator("#results .enlarge").last.click()
    assert axe.run(page).response["violations"] == []


@pytest.mark.parametrize(("theme", "shown", "hidden"), [("light", "day", "night"), ("dark", "night", "day")])
def test_figures_follow_the_theme(open_page, theme, shown, hidden):
    page = open_page(theme=theme)
    page.get_by_role("tab", name="Model").click()
    figure = page.locator(f"#model .by-{shown} img")
    figure.scroll_into_view_if_needed()
    expect(figure).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 0", arg=figure.element_handle())
    expect(page.locator(f"#model .by-{hidden} img")).to_be_hidden()


@pytest.fixture(scope="module")
def strange_url(run_service, tmp_path_factory, serve):
    """A run whose every name wants to be HTML, and whose gallery has no images."""
    run, weights = tmp_path_factory.mktemp("strange"), run_service.weights
    spec = dataclasses.replace(CIFAR10, classes=(HOSTILE, *CIFAR10.classes[1:]))
    digest = save_weights(
        run / "model.safetensors",
        weights.model,
        architecture=weights.architecture,
        arguments=weights.arguments,
        spec=spec,
        recipe={HOSTILE: HOSTILE},
        metrics={HOSTILE: 1.0, "data_fingerprint": HOSTILE},
    )
    names = {"class_names": spec.classes, "weights_sha256": digest, "split": HOSTILE}
    gallery = run_service.misclassified.gallery
    write_gallery(dataclasses.replace(gallery, human=None, **names), run / "gallery")
    (run / "gallery" / "gallery.png").unlink()
    (run / "report" / "figures").mkdir(parents=True)
    (run / "report" / "summary.json").write_text(json.dumps({"command": [HOSTILE, HOSTILE]}))
    Image.new("RGB", (40, 20), "teal").save(run / "report" / "figures" / "misclassified.png")
    with serve(load_service(of_run(run))) as page:
        yield page.local_url


def test_a_strangers_model_stays_text_and_misses_nothing_else(open_page, strange_url, tmp_path, fill):
    page = open_page(strange_url)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    expect(page.locator("#header")).to_contain_text(HOSTILE)
    # Pictures of CIFAR-10 are no examples of other classes.
    expect(page.locator("#results .notice")).to_have_text("Add an image.")
    expect(page.locator("#examples")).to_have_count(0)
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "teal.png")
    page.locator("#pictures input[type=file]").first.set_input_files(str(tmp_path / "teal.png"))
    expect(page.locator("#results .card")).to_have_count(1)
    fill(page, "Top classes", 10)
    expect(page.locator("#results .bars")).to_contain_text(HOSTILE)

    page.get_by_role("tab", name="Misclassified").click()
    missing = page.get_by_text("The probabilities of all errors are here, but not their images.")
    expect(missing).to_be_visible()
    instead = page.locator("#instead")
    expect(instead).to_contain_text("uv run cifar-train gallery --weights")
    expect(instead.locator("img.report[alt^=Misclassified]")).to_be_visible()
    # The results come first, and nothing of it is left when they are switched off.
    assert page.locator("#errors").bounding_box()["y"] < instead.bounding_box()["y"]
    for shown in (False, True):
        page.get_by_label("Show misclassified images").set_checked(shown)
        expect(instead).to_be_visible(visible=shown)
        expect(missing).to_be_visible(visible=shown)
        expect(page.locator("#errors .notice", has_text="switched off")).to_have_count(int(not shown))
        expect(page.locator("#errors .tile")).to_have_count(PAGE_SIZE if shown else 0)
    page.locator('#matrix button[data-true="0"][data-predicted="-1"]').click()
    expect(page.locator("#errors [role=status]")).to_contain_text(HOSTILE)
    assert page.locator("#errors .tile img").count() == 0
    expect(page.get_by_label("Show class activation maps").last).to_be_hidden()

    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#model")).to_contain_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_wider_than_the_page(open_page, theme, width):
    page = open_page(width=width, theme=theme)
    page.locator("#examples .grid-container button").last.click()
    expect(page.locator("#results .heat").first).to_be_visible()
    tabs = {"Classify": "#results .card", "Misclassified": "#errors .tile", "Model": "#model section"}
    for tab, wanted in tabs.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(wanted).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
