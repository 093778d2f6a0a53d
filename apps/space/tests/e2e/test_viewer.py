"""What a click on an image, a map or a figure opens large."""

import io

import numpy as np
import pytest
from PIL import Image

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect


def saved(page):
    with page.expect_download() as download:
        page.locator("#viewer").get_by_text("Save as PNG").click()
    return np.asarray(Image.open(download.value.path()).convert("RGB"), dtype=float)


@pytest.mark.parametrize(("width", "height", "theme"), [(1366, 650, "light"), (320, 640, "dark")])
def test_a_map_opens_large_with_its_scale_a_divider_and_its_neighbours(open_page, width, height, theme):
    page = open_page(width=width, height=height, theme=theme)
    viewer, last = page.locator("#viewer"), page.locator("#results .enlarge").last
    last.focus()
    page.keyboard.press("Enter")
    expect(viewer.locator(".caption")).to_contain_text("evidence for")
    expect(viewer).to_contain_text("scaled to its own maximum")
    expect(viewer.locator(".scale")).to_be_visible()
    count = page.locator("#results .figures .enlarge").count()
    expect(viewer.locator(".count")).to_have_text(f"{count} of {count}")
    whole = saved(page)
    viewer.locator(".divider").fill("100")
    plain = saved(page)
    viewer.locator(".divider").fill("50")
    half = saved(page)
    assert whole.shape == (1024, 1024, 3)
    assert np.array_equal(half[:, 512:], whole[:, 512:])
    assert np.array_equal(half[:, :512], plain[:, :512])
    assert not np.array_equal(whole, plain)
    # The arrow keys move the divider while it has the focus.
    viewer.get_by_text("Next").focus()
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".count")).to_have_text(f"1 of {count}")
    expect(viewer.locator(".scale")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(last).to_be_focused()


def test_an_upload_opens_at_full_resolution_or_as_the_network_sees_it(page):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    file = {"name": "noise.png", "mimeType": "image/png", "buffer": content.getvalue()}
    page.locator("#pictures input[type=file]").first.set_input_files(file)
    expect(page.locator("#results h2")).to_have_text("noise.png")
    page.locator("#results .enlarge").first.click()
    photo, box = page.locator("#viewer .photo"), page.locator("#viewer .original")
    assert photo.evaluate("image => image.decode().then(() => image.naturalWidth)") == 500
    box.uncheck()
    assert photo.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def test_a_figure_of_the_report_opens_large(page):
    page.get_by_role("tab", name="Model").click()
    page.locator("#model .enlarge:visible").first.click()
    expect(page.locator("#viewer .photo")).to_be_visible()
    expect(page.locator("#viewer .of-map")).to_be_hidden()
