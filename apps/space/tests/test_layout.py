"""Gradio's room, and the public names."""

from pathlib import Path

import pytest

import cifar_space


def test_only_the_user_interface_imports_gradio():
    sources = (Path(__file__).parents[1] / "src").rglob("*.py")
    assert {path.parent.name for path in sources if "import gradio" in path.read_text("utf-8")} == {"ui"}


def test_every_public_name_is_there():
    assert cifar_space.Refusal is cifar_space.RejectedFile  # its former name
    for name in cifar_space.__all__:
        assert getattr(cifar_space, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cifar_space.nothing  # noqa: B018
