"""The layers to explain, and the score of the model that is explained: a class's logit or a difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.inference import check_module
from cifar_explain.validation import ClassKey, as_class_index, as_labels, known_names

#: A layer: its name in `cam_layers` or in `named_modules()`, or the module itself.
Layer: TypeAlias = str | nn.Module

#: One class for all images, one for each image (such as the true classes), or "predicted".
Classes: TypeAlias = ClassKey | Sequence[ClassKey] | NDArray[np.integer] | Tensor


@dataclass(frozen=True)
class Versus:
    """One class against another: the difference of their logits, "why `target` and not `against`?".

    Both are classes in any form that `explain` takes: "predicted", one class, or one for each image.
    """

    target: Classes
    against: Classes


def find_layers(model: nn.Module, layers: Layer | Sequence[Layer] | None = None) -> dict[str, nn.Module]:
    """Returns the layers to explain by name, in the order asked for; all of `model.cam_layers` for None.

    Layers are modules or names: those of `model.cam_layers` come first, then those of `named_modules()`.

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
    offered = getattr(model, "cam_layers", None)
    # nn.ModuleDict is no Mapping, but serves as one.
    offered = dict(offered.items()) if isinstance(offered, Mapping | nn.ModuleDict) else {}
    # Tied modules have several names.
    modules = offered | dict(model.named_modules(remove_duplicate=False)) | offered
    modules.pop("", None)
    wanted = [layers] if isinstance(layers, str | nn.Module) else list(offered if layers is None else layers)
    if not wanted:
        why = "the model has no cam_layers" if layers is None else "layers is empty"
        raise ValueError(f"layers must be at least one, but {why}; {known_names('', modules)}")
    found: dict[str, nn.Module] = {}
    for layer in wanted:
        if isinstance(layer, str):
            if layer not in modules:
                raise ValueError(f"layers has the unknown name {layer!r}; {known_names(layer, modules)}")
            name, module = layer, modules[layer]
        else:
            name, module = next((name for name, module in modules.items() if module is layer), "model"), layer
        if not any(module is part for part in model.modules()):
            raise ValueError(f"layers has {layer!r:.50} ({type(module).__name__}), not part of the model")
        if name in found:
            raise ValueError(f"layers has {name!r} twice")
        found[name] = module
    return found


def resolve_target(target: Classes | Versus, logits: Tensor, class_names: Sequence[str] | None) -> Tensor:
    """Returns the classes in each image's score, `(N, 1)`, or `(N, 2)` for a `Versus`, given logits `(N, K)`."""
    asked = vars(target) if isinstance(target, Versus) else {"target": target}
    columns = [_indices(argument, classes, logits, class_names) for argument, classes in asked.items()]
    for number, (own, *others) in enumerate(zip(*columns, strict=True)):
        if own in others:
            raise ValueError(f"target and against are both class {own} for image {number}")
    return torch.tensor(columns, device=logits.device).T


def score(logits: Tensor, classes: Tensor) -> Tensor:
    """Returns the logit `(N,)` of each image's class, less that of the class it is compared with, if any."""
    chosen = logits.gather(-1, classes)
    return chosen[..., 0] - chosen[..., 1:].sum(dim=-1)


def _indices(argument: str, classes: Any, logits: Tensor, class_names: Sequence[str] | None) -> list[int]:
    count, width = logits.shape
    if isinstance(classes, str) and classes == "predicted":
        return logits.argmax(dim=1).tolist()
    if isinstance(classes, np.ndarray | Tensor):
        return as_labels(classes, count=count, classes=width, argument=argument).tolist()
    if isinstance(classes, str | int | np.integer):
        return [as_class_index(classes, classes=width, class_names=class_names, argument=argument)] * count
    if not isinstance(classes, Sequence) or len(classes) != count:
        allowed = f"'predicted', a class, or one for each of {count} images"
        raise ValueError(f"{argument} must be {allowed}, got {classes!r}")
    return [
        as_class_index(key, classes=width, class_names=class_names, argument=f"{argument}[{number}]")
        for number, key in enumerate(classes)
    ]
