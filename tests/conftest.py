"""A fixture of the tests across packages."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest


# A fixture, since test modules that pytest loads by importlib cannot import one another.
@pytest.fixture(scope="session")
def imported_modules() -> Callable[[Path], set[str]]:
    """Gives the top-level names of all modules that a Python file imports, wherever in the file."""

    def read(path: Path) -> set[str]:
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                names.add(node.module.partition(".")[0])
        return names

    return read
