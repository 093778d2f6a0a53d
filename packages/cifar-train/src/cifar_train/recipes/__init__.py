"""Recipes by name: the configurations that ship with the package."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["list_recipes", "recipe_path"]


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package, sorted.

    >>> "fast" in list_recipes()
    True
    """
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """Path of a recipe's configuration file.

    Raises:
        ValueError: If there is no such recipe; the message names the nearest ones.

    >>> recipe_path("era").name
    'era.yaml'
    """
    names = list_recipes()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"recipe is {name!r}; the recipes are {', '.join(names)}{hint}")
    return Path(__file__).parent / f"{name}.yaml"
