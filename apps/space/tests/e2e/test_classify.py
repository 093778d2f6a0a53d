"""The first tab, as a visitor uses it."""

import numpy as np
import pytest
from PIL import Image

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect


def take_example(page):
    page.locator("#examples .grid-container button").first.click()
    expect(page.locator("#results .card")).to_have_count(1)


def layers(page):
    return page.locator("#layers input[type=checkbox]")


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"picture{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((40, 50, 3), 80 * number, np.uint8)).save(path)
    return paths


def test_an_example_is_classified_and_explained_for_the_class_of_a_bar(page):
    expect(page.locator("#results")).to_contain_text("An example.")
    take_example(page)
    expect(page.locator("#results .bars li")).to_have_count(3)
    expect(page.locator("#results .heat")).to_have_count(layers(page).count())
    # Another example takes the place of the first.
    before = page.locator("#results h2").inner_text()
    page.locator("#examples .grid-container button").nth(1).click()
    expect(page.locator("#results h2")).not_to_have_text(before)
    # A bar chooses the class of the maps.
    bar = page.locator("#results .bars button").nth(1)
    name = bar.get_attribute("data-class")
    bar.click()
    expect(page.locator("#results header")).to_contain_text(f"evidence for {name}")
    expect(bar).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Class to explain")).to_have_value(name)


@pytest.mark.parametrize(("width", "height", "theme"), [(1366, 650, "light"), (390, 664, "dark")])
def test_opacity_stays_in_view_beside_the_maps(open_page, width, height, theme):
    page = open_page(width=width, height=height, theme=theme)
    heat = page.locator("#results .heat").last
    heat.evaluate("element => element.scrollIntoView({block: 'center'})")
    expect(heat).to_be_in_viewport()
    expect(page.get_by_label("range slider for Opacity of the maps").first).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_top_classes_are_1_to_10_and_never_11(page, fill):
    take_example(page)
    number, bars = page.get_by_label("number input for Top classes"), page.locator("#results .bars li")
    # What is answered is what the box shows; JavaScript rounds 2.5 up.
    for typed, shown in (("10", 10), ("1", 1), ("11", 10), ("2.5", 3)):
        fill(page, "Top classes", typed)
        expect(bars).to_have_count(shown)
        expect(number).to_have_value(str(shown))
    number.fill("")
    number.press_sequentially("7")
    expect(bars).to_have_count(7)
    page.get_by_label("range slider for Top classes").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(number).to_have_value("10")


def test_maps_on_and_off_by_layer_method_and_class(page, choose):
    take_example(page)
    heat, every = page.locator("#results .heat"), layers(page).count()
    expect(heat).to_have_count(every)
    first = heat.first.get_attribute("src")
    choose(page, "Method", "LayerCAM")
    expect(heat.first).not_to_have_attribute("src", first)
    choose(page, "Class to explain", "ship")
    expect(page.locator("#results .card header")).to_contain_text("evidence for ship")

    for number in range(every):
        layers(page).nth(number).uncheck()
        expect(heat).to_have_count(every - 1 - number)
    expect(page.locator("#results [role=status]")).to_have_text("Choose a layer to see maps.")
    expect(page.locator("#results .bars li")).to_have_count(3)
    layers(page).last.check()
    expect(heat).to_have_count(1)
    page.locator("#options").get_by_label("Show class activation maps").uncheck()
    expect(heat).to_have_count(0)
    expect(page.locator("#layers")).to_be_hidden()
    expect(page.locator("#results .bars li")).to_have_count(3)


def test_opacity_changes_the_picture_and_asks_nobody(page, fill):
    stack = page.locator("#results .stack:has(.heat)").last
    expect(stack).to_be_visible()
    page.wait_for_load_state("networkidle")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    seen = [stack.screenshot()]
    for value in ("0", "1"):
        fill(page, "Opacity", value)
        expect(page.locator("#results .heat").last).to_have_css("opacity", value)
        seen.append(stack.screenshot())
    assert len(set(seen)) == 3
    assert asked == []


def test_several_dropped_pictures_of_which_some_are_explained(page, pictures, fill):
    script = """contents => {
        const dropped = new DataTransfer();
        contents.forEach((bytes, number) => dropped.items.add(
            new File([new Uint8Array(bytes)], `dropped${number}.png`, {type: 'image/png'})));
        return dropped;
    }"""
    dropped = page.evaluate_handle(script, [list(path.read_bytes()) for path in pictures])
    place = page.locator("#pictures input[type=file]").first.locator("xpath=..")
    for event in ("dragenter", "dragover", "drop"):
        place.dispatch_event(event, {"dataTransfer": dropped})
    expect(page.locator("#results .card h2")).to_have_text([f"dropped{number}.png" for number in range(3)])
    expect(page.locator("#results .card:has(.heat)")).to_have_count(3)
    fill(page, "Number of images to explain", 1)
    expect(page.locator("#results .card:has(.heat)")).to_have_count(1)
    expect(page.locator("#results .card").first.locator(".heat").first).to_be_visible()


def test_bad_files_get_a_message_and_the_next_request_is_right(page, pictures, tmp_path):
    bad = tmp_path / "<img src=x onerror=document.title='taken'>{{7*7}}${7*7}.png"
    bad.write_text("no picture")
    page.locator("#pictures input[type=file]").first.set_input_files([bad, pictures[0]])
    alert = page.locator("#results .card.refused [role=alert]")
    expect(alert).to_contain_text("not a readable image")
    expect(page.locator("#results .bars")).to_have_count(1)
    # Gradio leaves out some characters of a name; what is left is shown as it is.
    expect(page.locator("#results h2").first).to_contain_text("onerror=document.title=")
    assert page.locator("#results img[src=x]").count() == 0
    assert page.title() != "taken"
    take_example(page)
    expect(alert).to_have_count(0)


def test_clipboard_and_webcam(page):
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(40, 40);
            canvas.getContext('2d').fillRect(5, 5, 20, 20);
            const blob = await canvas.convertToBlob({type: 'image/png'});
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    page.locator("#pictures").get_by_label("Paste from clipboard").click()
    expect(page.locator("#results .card")).to_have_count(1)
    page.locator("#pictures").get_by_label("Clear").click()
    expect(page.locator("#results")).to_contain_text("An example.")
    page.locator("#pictures").get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    # There is a picture to take once the camera runs.
    page.wait_for_function("() => document.querySelector('#pictures video')?.videoWidth > 0")
    page.wait_for_function("() => document.querySelector('#pictures video').currentTime > 0.2")
    page.locator("#pictures").get_by_label("capture photo").click()
    expect(page.locator("#results .card")).to_have_count(1)


def test_controls_have_names_and_can_be_reached(page, run_service):
    take_example(page)
    name = """() => {
        const at = document.activeElement;
        const label = at.labels && at.labels[0] ? at.labels[0].innerText : '';
        return at.getAttribute('aria-label') || label || at.innerText || at.title || '';
    }"""
    reached = []
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(name))
    boxes = ("Top classes", "Show class activation maps", "Method", "Class to explain", "Opacity")
    for control in ("Classify", *boxes, *run_service.layers):
        assert any(control in one for one in reached), f"{control} cannot be reached: {reached}"


def test_of_more_images_than_allowed_the_first_are_answered_and_the_others_named(page, tmp_path):
    paths = [tmp_path / f"image{number}.png" for number in range(18)]
    for path in paths:
        Image.new("RGB", (32, 32), "teal").save(path)
    page.locator("#pictures input[type=file]").first.set_input_files(paths)
    expect(page.locator("#results .card")).to_have_count(16)
    expect(page.locator("#results")).to_contain_text("Left out: image16.png, image17.png")
