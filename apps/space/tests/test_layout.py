"""What the sources may import, and what the Space's page must say about itself."""

import ast
import importlib.metadata
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


@pytest.mark.parametrize(
    ("library", "room"), [("gradio", "ui"), ("jinja2", "views"), ("typer", "cifar_space")]
)
def test_each_library_has_its_room(library: str, room: str) -> None:
    assert {path.parent.name for path in SOURCES if library in imported(path)} == {room}


def test_every_public_name_is_there() -> None:
    assert cifar_space.Refusal is cifar_space.RejectedFile  # its former name
    for name in cifar_space.__all__:
        assert getattr(cifar_space, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cifar_space.nothing  # noqa: B018


def test_front_matter_of_the_space() -> None:
    _, matter, text = (MEMBER / "README.md").read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in matter.splitlines())
    assert fields["sdk"] == "gradio"
    assert fields["sdk_version"] == importlib.metadata.version("gradio")
    assert fields["python_version"] == '"3.12"'
    assert (MEMBER / fields["app_file"]).is_file()
    # Source: the Hub's reference of a Space's configuration.
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {fields["colorFrom"], fields["colorTo"]} <= colours
    assert len(fields["short_description"]) <= 60
    assert text.lstrip().startswith("# ")
