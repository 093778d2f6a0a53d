"""Recipes by name: the configurations that ship with the package."""

from pathlib import Path


def list_recipes() -> list[str]:
    """Returns the sorted names of the recipes."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """Returns the path of a recipe's configuration file."""
    names = list_recipes()
    if name not in names:
        raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(names)}")
    return Path(__file__).parent / f"{name}.yaml"
