"""What the sources may import, and the public names."""

import ast
import sys
from pathlib import Path

import pytest

import cifar_space

MEMBER = Path(__file__).parents[1]
SOURCES = sorted((MEMBER / "src").rglob("*.py"))
ALLOWED = {
    "cifar_models",
    "cifar_explain",
    "cifar_space",
    "torch",
    "numpy",
    "PIL",
    "gradio",
    "jinja2",
    "typer",
    "huggingface_hub",
    "packaging",
    "pyarrow",
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_only_what_the_bundle_holds(path: Path) -> None:
    assert imported(path) - set(sys.stdlib_module_names) <= ALLOWED


def test_gradio_has_its_room() -> None:
    assert {path.parent.name for path in SOURCES if "gradio" in imported(path)} == {"ui"}


def test_every_public_name_is_there() -> None:
    assert cifar_space.Refusal is cifar_space.RejectedFile  # its former name
    for name in cifar_space.__all__:
        assert getattr(cifar_space, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cifar_space.nothing  # noqa: B018
