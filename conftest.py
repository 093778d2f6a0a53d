"""What the tests of all packages share: what needs real data or a browser is skipped by name where there is none."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

# Test tensors are tiny: a second thread costs more in waiting than it computes, most of all when test processes
# run side by side. Set here because torch reads it once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# LightningCLI calls a method that jsonargparse has renamed; the warning is between those two.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `data` where CIFAR_DATA_DIR is not set, or fail where all tests are demanded."""
    if os.environ.get("CIFAR_DATA_DIR"):
        return
    # Where everything has to be tested, a missing dataset is a failure and not a skip.
    demanded = bool(os.environ.get("CIFAR_TEST_ALL"))
    for item in items:
        if item.get_closest_marker("data"):
            reason = "CIFAR_DATA_DIR is not set; it names the directory of the real CIFAR-10"
            if demanded:
                raise pytest.UsageError(f"{item.nodeid}: {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The machine's Chromium, driven by Playwright; where there is none the test is skipped by name.

    Where all tests are demanded a missing Chromium is a failure; a missing Playwright is not, since a package that is
    tested alone does not bring it.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "there is no chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CIFAR_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    playwright.expect.set_options(timeout=15_000)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=path,
            args=[
                # Containers often run as root, which Chromium's sandbox refuses, and have little shared memory.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield opened
        opened.close()
