"""What the tests of all packages share: what needs real data or a browser is skipped by name where there is none."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

# Test tensors are tiny: a second thread costs more in waiting than it computes, most of all when test processes
# run side by side. Set here because torch reads it once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# LightningCLI calls a method that jsonargparse has renamed; the warning is between those two.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all`, with which nothing is left out."""
    parser.addoption(
        "--all",
        action="store_true",
        help="run the tests marked `slow` too, and fail instead of skipping where data or browser are missing",
    )


def pytest_report_header() -> str:
    """Name the instruction set, on which kernels and so the last bits of a result depend."""
    import torch

    return f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is slow and skip what needs the real CIFAR-10, unless all tests are wanted."""
    if not config.getoption("--all"):
        # A test that is named on the command line runs, however slow.
        named = any("::" in argument for argument in config.invocation_params.args)
        slow = [] if named else [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    if os.environ.get("CIFAR_DATA_DIR"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            reason = "CIFAR_DATA_DIR is not set; it names the directory of the real CIFAR-10"
            if config.getoption("--all"):
                raise pytest.UsageError(f"{item.nodeid}: {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def assert_close() -> Callable[[Any, Any], None]:
    """Compare results of two computations that differ by rounding only.

    PyTorch promises no equal bits between other kernels: with and without gradients, other batch sizes, threads or
    memory formats, batch norms fused or not. A sum of n products, added in another order, differs by about sqrt(n)
    roundings of its largest value. The deepest networks here add 9 x 512 products in each of eight layers, so n is
    below 40,000 and sqrt(n) is 200; five times that is allowed, 1.2e-4 of the largest value in float32.
    """
    import numpy as np
    import torch

    def compare(ours: Any, expected: Any) -> None:
        ours, expected = (torch.as_tensor(np.asarray(value)) for value in (ours, expected))
        assert ours.dtype == expected.dtype, f"{ours.dtype} is not {expected.dtype}"
        allowed = 1000 * torch.finfo(expected.dtype).eps * float(expected.abs().max())
        torch.testing.assert_close(ours, expected, rtol=0, atol=allowed)

    return compare


@pytest.fixture(scope="session")
def missing(pytestconfig: pytest.Config) -> Callable[[str], NoReturn]:
    """Skip a test for the reason given, or fail with `--all`."""
    return pytest.fail if pytestconfig.getoption("--all") else pytest.skip


@pytest.fixture(scope="session")
def browser(missing: Callable[[str], NoReturn]) -> Iterator[Any]:
    """The machine's Chromium, driven by Playwright.

    A missing Playwright is never a failure, since a package that is tested alone does not bring it.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("there is no chromium on this machine (Debian: apt-get install chromium)")
    playwright.expect.set_options(timeout=15_000)
    with playwright.sync_playwright() as driver:
        # Containers often run as root, which Chromium's sandbox refuses, and have little shared memory.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = driver.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()
