"""The report in a real browser: on a desk and on a phone, in light and in dark, without a network."""

import pytest

pytestmark = pytest.mark.slow  # a browser


@pytest.fixture
def opened(browser, trained_run):
    """Open the page at a width and in a colour scheme; fails at the end if it asked for anything or complained."""
    url = (trained_run / "report" / "index.html").as_uri()
    contexts, troubles, asked = [], [], []

    def open_page(width, scheme):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert {address for address in asked if not address.startswith("data:")} == {url}


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_not_wider_than_the_window(opened, width):
    page = opened(width, "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "suffix"), [("light", "#ffffff"), ("dark", "#10161d")])
def test_page_and_figures_follow_the_colour_scheme(opened, scheme, suffix):
    page = opened(1280, scheme)
    wanted = "rgb({}, {}, {})".format(*bytes.fromhex(suffix[1:]))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == wanted
    corner = """() => {
      const picture = document.querySelector(".plot img");
      const canvas = document.createElement("canvas");
      canvas.getContext("2d").drawImage(picture, 0, 0);
      return Array.from(canvas.getContext("2d").getImageData(0, 0, 1, 1).data).slice(0, 3);
    }"""
    page.wait_for_function("document.querySelector('.plot img').complete")
    assert page.evaluate(corner) == list(bytes.fromhex(suffix[1:]))


def test_slider_sets_the_opacity_of_the_maps(opened):
    page = opened(1280, "light")
    heat = page.locator(".heat").first
    slider = page.get_by_label("Opacity of the maps")
    for value in ("0", "1"):
        slider.fill(value)
        assert heat.evaluate("element => getComputedStyle(element).opacity") == value
