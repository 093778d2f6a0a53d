"""The report in a real browser: on a desk and on a phone, in light and in dark, without a network."""

import pytest

pytestmark = pytest.mark.slow  # a browser

_RUN = [
    "--model.architecture=whitenet",
    '--model.arguments={"widths": [8, 8, 8]}',
    "--data.source=synthetic",
    "--data.train_limit=200",
    "--data.val_size=100",
    "--data.batch_size=50",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_epochs=1",
]


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    """The report of a small run."""
    from cifar_train.cli.main import main

    directory = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("CIFAR_CACHE_DIR", str(directory / "cache"))
        assert main(_RUN) == 0
    return (directory / "runs" / "latest" / "report" / "index.html").resolve()


@pytest.fixture
def opened(browser, page_path):
    """Open the page at a width and in a colour scheme; fails at the end if it asked for anything or complained."""
    contexts, troubles = [], []

    def open_page(width, scheme):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on(
            "request",
            lambda request: (
                troubles.append(request.url)
                if not request.url.startswith(("data:", page_path.as_uri()))
                else None
            ),
        )
        page.goto(page_path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


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
