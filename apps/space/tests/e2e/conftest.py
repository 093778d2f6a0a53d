"""The page in a real browser: a server of its own, and what no page may do."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cifar_space import load_service


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def url(run_files, serve):
    with serve(load_service(run_files)) as page:
        yield page.local_url


@pytest.fixture
def open_page(browser, url):
    """Open the page; at the end no page may have called another host or written an error to the console."""
    complaints, hosts, contexts = [], set(), []

    def opened(address=url, *, width=1440, height=1000, theme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            permissions=["clipboard-read", "clipboard-write", "camera"],
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(f"{address}?__theme={theme}")
        page.locator("#results :is(.notice, .card)").first.wait_for()
        # The page's scripts are there once the place for pictures takes some.
        page.locator("#pictures input[type=file]").first.wait_for(state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    # Addresses of data: and blob: have no host; they are the page's own.
    assert hosts <= {"127.0.0.1", None}


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture(scope="session")
def choose():
    """Chooses an option of the list with a label, in the tab that is open."""

    def choose(page, label, option):
        page.get_by_label(label, exact=True).locator("visible=true").click()
        page.get_by_role("option", name=option, exact=True).click()
        # The list fades; while it does, a second one would be there twice.
        page.get_by_role("option").first.wait_for(state="detached")

    return choose


@pytest.fixture(scope="session")
def fill():
    """Types into the box of the slider with a label, in the tab that is open, and leaves the box."""

    def fill(page, label, value):
        page.get_by_label(f"number input for {label}").locator("visible=true").fill(str(value))
        page.keyboard.press("Tab")

    return fill
