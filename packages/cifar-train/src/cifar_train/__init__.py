"""Train CIFAR-10 classifiers with PyTorch Lightning: recipes, checkpoints, one command.

The command is `cifar-train`. For use in your own code: :class:`~cifar_train.training.module.LitClassifier`,
:class:`~cifar_train.training.muon.Muon`, :class:`~cifar_train.training.schedule.OneCycle`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_train.recipes import list_recipes, recipe_path
    from cifar_train.report.model_card import model_card
    from cifar_train.training.module import LitClassifier
    from cifar_train.training.muon import Muon, orthogonalize
    from cifar_train.training.schedule import OneCycle

__all__ = ["LitClassifier", "Muon", "OneCycle", "list_recipes", "model_card", "orthogonalize", "recipe_path"]

_HOMES = {
    "LitClassifier": "cifar_train.training.module",
    "Muon": "cifar_train.training.muon",
    "OneCycle": "cifar_train.training.schedule",
    "list_recipes": "cifar_train.recipes",
    "model_card": "cifar_train.report.model_card",
    "orthogonalize": "cifar_train.training.muon",
    "recipe_path": "cifar_train.recipes",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command's --help must not wait for all of torch and Lightning.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
