"""Architectures by name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from cifar_models.architectures.resnet import ResNet9, ResNet18
from cifar_models.architectures.whitenet import WhiteNet

_FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "resnet9": ResNet9,
    "resnet18": ResNet18,
    "whitenet": WhiteNet,
}


def create_model(name: str, /, **kwargs: Any) -> nn.Module:
    """Returns a new model of a name in `list_models()`, freshly initialised and in train mode.

    >>> create_model("resnet9", num_classes=100).fc.out_features
    100
    """
    if name not in _FACTORIES:
        raise ValueError(f"there is no architecture {name!r}; known are {', '.join(list_models())}")
    factory = _FACTORIES[name]
    signature = inspect.signature(factory)
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; its arguments are {', '.join(signature.parameters)}") from error
    return factory(**kwargs)


def list_models() -> list[str]:
    """Returns the names of all architectures, sorted."""
    return sorted(_FACTORIES)


def register_model(name: str, factory: Callable[..., nn.Module]) -> None:
    """Adds an architecture, so that `create_model(name, ...)` returns `factory(...)` and its weights files load.

    For weights files the factory must take plain JSON values as arguments (lists, not tuples), and also run under
    `torch.device("meta")`, where tensors have shapes but no values.
    """
    if name in _FACTORIES:
        raise ValueError(f"name {name!r} is taken already; choose another than {sorted(_FACTORIES)}")
    _FACTORIES[name] = factory
