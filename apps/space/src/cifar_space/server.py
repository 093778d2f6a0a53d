"""The former path of `cifar_space.ui.server`, which serves the page from Python."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("cifar_space.ui.server"), name)
