"""What the tests of all packages share: tests that need the real data are skipped by name where there is none."""

import os

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
