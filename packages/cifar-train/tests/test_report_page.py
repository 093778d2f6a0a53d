"""The report in a real browser: on a desk and on a phone, in light and in dark, without a network."""

import pytest

from cifar_explain import THEMES

pytestmark = pytest.mark.slow  # a browser


@pytest.fixture
def opened(browser, trained_run):
    """Open the page at a width and in a colour scheme; fails at the end if it asked for anything or complained."""
    url = (trained_run / "report" / "index.html").as_uri()
    context = browser.new_context()
    page, troubles, asked = context.new_page(), [], set()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("request", lambda request: asked.add(request.url))

    def open_page(width=1280, scheme="light"):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.goto(url)
        return page

    yield open_page
    context.close()
    assert troubles == []
    assert {address for address in asked if not address.startswith("data:")} == {url}


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_not_wider_than_the_window(opened, width):
    assert opened(width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_and_figures_follow_the_colour_scheme(opened, scheme):
    page = opened(scheme=scheme)
    surface = list(bytes.fromhex(THEMES[scheme].surface[1:]))
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb({}, {}, {})".format(*surface)
    page.wait_for_function("document.querySelector('.plot img').complete")
    corner = """() => {
      const canvas = document.createElement("canvas").getContext("2d");
      canvas.drawImage(document.querySelector(".plot img"), 0, 0);
      return Array.from(canvas.getImageData(0, 0, 1, 1).data).slice(0, 3);
    }"""
    assert page.evaluate(corner) == surface


def test_slider_sets_the_opacity_of_the_maps(opened):
    page = opened()
    heat = page.locator(".heat").first
    for value in ("0", "1"):
        page.get_by_label("Opacity of the maps").fill(value)
        assert heat.evaluate("element => getComputedStyle(element).opacity") == value
