"""Architectures by name: what a recipe or a weights file asks for."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from cifar_models.architectures.resnet import ResNet9, ResNet18
from cifar_models.architectures.whitenet import WhiteNet
from cifar_models.validation import known_names

_FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "resnet9": ResNet9,
    "resnet18": ResNet18,
    "whitenet": WhiteNet,
}


def create_model(name: str, /, **kwargs: Any) -> nn.Module:
    """Return a new model, freshly initialised and in train mode.

    Args:
        name: A name of `list_models()`.
        kwargs: Arguments of that architecture, by keyword.

    Raises:
        ValueError: If the name or an argument is unknown, or an argument is missing or not allowed.

    >>> create_model("resnet9", num_classes=100).fc.out_features
    100
    >>> create_model("resnet_9")
    Traceback (most recent call last):
        ...
    ValueError: there is no architecture 'resnet_9'; did you mean 'resnet9' or 'resnet18'? known: ...
    """
    if name not in _FACTORIES:
        raise ValueError(f"there is no architecture {name!r}; {known_names(name, _FACTORIES)}")
    factory = _FACTORIES[name]
    _check_arguments(name, factory, kwargs)
    return factory(**kwargs)


def list_models() -> list[str]:
    """Return the names of all architectures, sorted.

    >>> {"resnet18", "resnet9"} <= set(list_models())
    True
    """
    return sorted(_FACTORIES)


def register_model(name: str, factory: Callable[..., nn.Module]) -> None:
    """Make `create_model(name, ...)` return `factory(...)`, and weights files of that name loadable.

    Args:
        name: A new name.
        factory: Returns the model. For weights files it must take plain JSON values as arguments (lists,
            not tuples), and also run under `torch.device("meta")`, where tensors have shapes but no values.

    Raises:
        ValueError: If the name is taken or empty.
        TypeError: If the factory cannot be called.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be a string of at least one character, got {name!r}")
    if name in _FACTORIES:
        raise ValueError(f"name {name!r} is taken already; choose another than {sorted(_FACTORIES)}")
    if not callable(factory):
        raise TypeError(f"factory must be callable, got {factory!r}")
    _FACTORIES[name] = factory


def _check_arguments(name: str, factory: Callable[..., nn.Module], kwargs: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters.values()
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = {p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    unknown = [] if open_ended else sorted(set(kwargs) - set(named))
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise ValueError(f"{name} has no argument {listed}; {known_names(unknown[0], named)}")
    missing = [key for key, p in named.items() if p.default is p.empty and key not in kwargs]
    if missing:
        raise ValueError(f"{name} needs the argument {', '.join(map(repr, missing))}")
