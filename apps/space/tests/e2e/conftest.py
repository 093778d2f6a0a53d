"""The page in a real browser: a server of its own, and what no page may do.

The fixture `browser` is the workspace's, in the root `conftest.py`: Playwright runs once a process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_space import load_service

Open = Callable[..., Any]


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
    complaints = []
    hosts = set()
    contexts = []

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
        page.on(
            "request",
            lambda request: hosts.add(request.url.partition("://")[2].partition("/")[0].partition(":")[0]),
        )
        page.goto(f"{address}?__theme={theme}")
        page.locator("#results :is(.notice, .card)").first.wait_for()
        # The page's scripts are there once the place for pictures takes some.
        page.locator("#pictures input[type=file]").first.wait_for(state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    # The empty name is of data: and blob: addresses, which are the page's own.
    assert hosts <= {"127.0.0.1", ""}


@pytest.fixture
def page(open_page):
    return open_page()
