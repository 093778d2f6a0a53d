"""A private view of a model: the same weights, but hooks, modes and graphs of its own."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, TypeAlias

import torch
from torch import nn

#: Called with the number of steps done and the number of all steps; an exception that it raises ends the work.
Progress: TypeAlias = Callable[[int, int], None]

#: Images per forward pass: enough to keep a few cores busy, few enough for activations to stay in their cache.
BATCH_SIZE = 100

# torch numbers hooks with one counter for the process, whose increment is not atomic; two hooks with the same
# number on one layer would replace each other.
_HOOK_NUMBERS = threading.Lock()


@contextmanager
def hooked(hooks: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Runs forward hooks on modules of a private view while the context lasts.

    >>> layer = nn.ReLU()
    >>> with hooked({layer: lambda module, inputs, output: output + 1}):
    ...     layer(torch.zeros(1))
    tensor([1.])
    >>> layer(torch.zeros(1))
    tensor([0.])
    """
    handles = []
    try:
        with _HOOK_NUMBERS:
            for module, hook in hooks.items():
                handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def private_view(model: nn.Module) -> tuple[nn.Module, dict[int, nn.Module]]:
    """Returns a copy of a model's modules that shares its weights, and the copies by `id` of their original.

    The copy is in evaluation mode and none of its parameters requires a gradient. Hooks and modes of the copy
    leave the model alone, so that many threads can look into one model at once. Hooks that the model already
    has run in the copy too. A compiled model is viewed through the module it wraps.

    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
    >>> view, copies = private_view(model)
    >>> view.training, model.training, copies[id(model[0])] is view[0]
    (False, True, True)
    >>> view[0].weight.data_ptr() == model[0].weight.data_ptr(), view[0].weight.requires_grad
    (True, False)
    """
    originals = list(check_module(model).modules())
    copies: dict[int, nn.Module] = {id(module): object.__new__(type(module)) for module in originals}
    for module in originals:
        wrapped = module._modules.get("_orig_mod")
        if wrapped is not None:
            copies[id(module)] = copies[id(wrapped)]
    for module in originals:
        if "_orig_mod" not in module._modules:
            copies[id(module)].__dict__.update(_copied_state(module, copies))
    return copies[id(model)], copies


def check_module(model: Any) -> nn.Module:
    """Returns `model` if it is a module whose layers Python can see."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")  # noqa: TRY004
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError("model contains TorchScript, whose layers cannot be observed; give the original one")
    return model


def on_device_of(view: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Returns the images on the device of the model's weights, as tensors that a backward pass may keep."""
    parameter = next(view.parameters(), None)
    return _ordinary(images if parameter is None else images.to(parameter.device))


def _copied_state(module: nn.Module, copies: dict[int, nn.Module]) -> dict[str, Any]:
    # `dict()` and `list()` copy at once, so that another thread may set attributes or hooks meanwhile.
    state = {name: _rebound(value, copies) for name, value in dict(module.__dict__).items()}
    # What `module.compile()` leaves behind would call the original.
    state.pop("_compiled_call_impl", None)
    state["_parameters"] = {
        # A detached alias: no gradient of it can be computed, and `.grad` of the original is out of reach.
        name: tensor if tensor is None else nn.Parameter(_ordinary(tensor.detach()), requires_grad=False)
        for name, tensor in module._parameters.items()
    }
    state["_buffers"] = {
        name: tensor if tensor is None else _ordinary(tensor) for name, tensor in module._buffers.items()
    }
    state["training"] = False
    return state


def _rebound(value: Any, copies: dict[int, nn.Module]) -> Any:
    """Returns the value with modules, their methods and plain containers of both pointing into the copy."""
    if isinstance(value, nn.Module):
        return copies.get(id(value), value)
    if isinstance(value, MethodType) and id(value.__self__) in copies:
        return MethodType(value.__func__, copies[id(value.__self__)])
    if type(value) in (list, tuple):
        return type(value)(_rebound(item, copies) for item in value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _rebound(item, copies)) for key, item in list(value.items()))
    return value


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    # Tensors made under inference_mode cannot be saved for a backward pass; a clone can.
    return tensor.clone() if tensor.is_inference() else tensor
