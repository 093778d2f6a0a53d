"""What the sources may import, and the public names."""

import ast
import sys
from pathlib import Path

import pytest

import cifar_space

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
ALLOWED = {
    *("cifar_models", "cifar_explain", "cifar_space", "torch", "numpy", "PIL", "gradio", "jinja2", "typer"),
    *("huggingface_hub", "packaging", "pyarrow", *sys.stdlib_module_names),
}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_imports_only_what_the_bundle_holds_and_gradio_in_its_room() -> None:
    imports = {path: imported(path) for path in SOURCES}
    assert {path.name: names - ALLOWED for path, names in imports.items() if names - ALLOWED} == {}
    assert {path.parent.name for path, names in imports.items() if "gradio" in names} == {"ui"}


def test_every_public_name_is_there() -> None:
    assert cifar_space.Refusal is cifar_space.RejectedFile  # its former name
    for name in cifar_space.__all__:
        assert getattr(cifar_space, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cifar_space.nothing  # noqa: B018
