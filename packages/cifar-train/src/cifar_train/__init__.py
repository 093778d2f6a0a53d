"""Train CIFAR-10 classifiers with PyTorch Lightning: recipes, checkpoints, reports, the command `cifar-train`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# ruff: noqa: F401
if TYPE_CHECKING:
    from cifar_train.recipes import list_recipes, recipe_path
    from cifar_train.report.model_card import model_card
    from cifar_train.training.module import LitClassifier
    from cifar_train.training.muon import Muon, orthogonalize
    from cifar_train.training.schedule import OneCycle

_HOMES = {
    "recipes": ("list_recipes", "recipe_path"),
    "report.model_card": ("model_card",),
    "training.module": ("LitClassifier",),
    "training.muon": ("Muon", "orthogonalize"),
    "training.schedule": ("OneCycle",),
}

__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str) -> Any:
    # Imported on first use: the command's --help does not wait for torch and Lightning.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"cifar_train.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
