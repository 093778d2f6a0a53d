"""Finding the layers to explain, by name or as modules."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from torch import nn

from cifar_explain.validation import check_module, known_names

#: A layer: its name in `cam_layers` or in `named_modules()`, or the module itself.
Layer: TypeAlias = str | nn.Module


def find_layers(model: nn.Module, layers: Layer | Sequence[Layer] | None = None) -> dict[str, nn.Module]:
    """Return the layers to explain by name, in the order asked for.

    Args:
        model: The model that they belong to.
        layers: One layer or several: names (those of `model.cam_layers` come first, then those of
            `named_modules()`) or modules. None for all of `model.cam_layers`.

    Raises:
        ValueError: If `model` is no module, a name is unknown, a module is not part of the model, a layer is
            given twice, none is given, or `layers` is None and the model has no `cam_layers`.

    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    >>> find_layers(model, ["1", model[0]])
    {'1': ReLU(), '0': Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))}
    >>> find_layers(model, "conv")
    Traceback (most recent call last):
        ...
    ValueError: layers has the unknown name 'conv'; known: '0', '1'
    """
    check_module(model)
    # A compiled module keeps the original, with the names people know, in here.
    model = model._modules.get("_orig_mod") or model
    offered = _offered(model)
    if layers is None:
        if not offered:
            raise ValueError(
                f"layers must be given, since the model has no cam_layers; {_all_names(model, {})}"
            )
        layers = list(offered)
    wanted = [layers] if isinstance(layers, str | nn.Module) else list(layers)
    if not wanted:
        raise ValueError("layers is empty; at least one layer is needed")
    found: dict[str, nn.Module] = {}
    for layer in wanted:
        name, module = _find(model, layer, offered)
        _check_is_part(model, name, module)
        if name in found:
            raise ValueError(f"layers has {name!r} twice")
        found[name] = module
    return found


def _offered(model: nn.Module) -> Mapping[str, nn.Module]:
    offered = getattr(model, "cam_layers", None)
    # nn.ModuleDict is no Mapping, but serves as one.
    return dict(offered.items()) if isinstance(offered, Mapping | nn.ModuleDict) else {}


def _find(model: nn.Module, layer: object, offered: Mapping[str, nn.Module]) -> tuple[str, nn.Module]:
    if isinstance(layer, str):
        modules = {**dict(model.named_modules(remove_duplicate=False)), **offered}
        modules.pop("", None)
        if layer not in modules:
            raise ValueError(f"layers has the unknown name {layer!r}; {_all_names(model, offered, layer)}")
        return layer, modules[layer]
    if isinstance(layer, nn.Module):
        for name, module in (*offered.items(), *model.named_modules()):
            if module is layer:
                return name or "model", module
        raise ValueError(f"layers has a {type(layer).__name__} that is not part of the model")
    raise ValueError(f"layers must be names or modules, got {type(layer).__name__}")


def _check_is_part(model: nn.Module, name: str, module: object) -> None:
    if not any(module is part for part in model.modules()):
        raise ValueError(f"cam_layers has {name!r}, a {type(module).__name__} that is not part of the model")


def _all_names(model: nn.Module, offered: Iterable[str], name: object = "") -> str:
    names = dict.fromkeys([*offered, *(key for key, _ in model.named_modules() if key)])
    return known_names(name, names)
