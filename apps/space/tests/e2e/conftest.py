"""The page in a real browser: a server of its own, and what no page may do.

The fixture `browser` is the workspace's, in the root `conftest.py`: Playwright runs once a process.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@contextlib.contextmanager
def _serving(*arguments: str) -> Iterator[str]:
    """Run the command `cifar-space` and yield the page's address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = (
        f"from cifar_space.cli import main; raise SystemExit(main({[*arguments, '--port', str(port)]!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline()
            assert "http://" in told, told
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def serving() -> Callable[..., contextlib.AbstractContextManager[str]]:
    """The command `cifar-space` with some arguments, as a context that gives the page's address."""
    return _serving


@pytest.fixture(scope="session")
def url(run_folder: Path) -> Iterator[str]:
    with _serving("--run", str(run_folder)) as address:
        yield address


@pytest.fixture
def open_page(browser: Any, url: str) -> Iterator[Open]:
    """Open the page; at the end no page may have called another host or written an error to the console."""
    complaints: list[str] = []
    hosts: set[str] = set()
    contexts = []

    def opened(address: str = url, *, width: int = 1440, height: int = 1000, theme: str = "light") -> Any:
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
def page(open_page: Open) -> Any:
    return open_page()
