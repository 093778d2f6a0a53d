"""A private view of a model: the same weights, but hooks, modes and graphs of its own."""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
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
    """Runs forward hooks on modules of a private view while the context lasts."""
    with ExitStack() as stack:
        with _HOOK_NUMBERS:
            for module, hook in hooks.items():
                stack.callback(module.register_forward_hook(hook).remove)
        yield


def private_view(model: nn.Module) -> tuple[nn.Module, dict[int, Any]]:
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
    copies: dict[int, Any] = {id(module): object.__new__(type(module)) for module in originals}
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


def as_inputs_of(view: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Returns the images with the device and the precision of the model's weights, for a backward pass too."""
    # Weights of 8 bits, of a quantized model, take inputs of another type.
    weight = next((p for p in view.parameters() if p.is_floating_point() and p.itemsize > 1), None)
    return _ordinary(images if weight is None else images.to(weight.device, weight.dtype))


def _copied_state(module: nn.Module, copies: dict[int, Any]) -> dict[str, Any]:
    # `dict()` and `list()` copy at once, so that another thread may set attributes or hooks meanwhile.
    state = {name: _rebound(value, copies, fresh=True) for name, value in dict(module.__dict__).items()}
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


def _rebound(value: Any, copies: dict[int, Any], *, fresh: bool = False) -> Any:
    """Returns the value with every module in it replaced by its copy, or the value itself if it holds none.

    Looks into containers, functions, methods, partials and other objects with modules as attributes. A container
    that is `fresh` is copied in any case.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, FunctionType):
        return _rebound_function(value, copies)
    parts: list[Any]
    if type(value) in (list, tuple):
        parts = list(value)
    elif type(value) in (dict, OrderedDict):
        parts = list(value.items())
    elif isinstance(value, MethodType):
        parts, fresh = [value.__func__, value.__self__], False
    elif type(value) is partial:
        parts, fresh = [value.func, value.args, value.keywords], False
    elif not isinstance(value, type | ModuleType) and any(
        id(part) in copies for part in list(getattr(value, "__dict__", {}).values())
    ):
        other = copies[id(value)] = copy.copy(value)
        vars(other).update(_rebound(vars(value), copies, fresh=True))
        return other
    else:
        return value
    found = [_rebound(part, copies, fresh=fresh) for part in parts]
    if not fresh and all(one is part for one, part in zip(found, parts, strict=True)):
        return value
    if type(value) is partial:
        return partial(found[0], *found[1], **found[2])
    return MethodType(*found) if isinstance(value, MethodType) else type(value)(found)


def _rebound_function(function: FunctionType, copies: dict[int, Any]) -> FunctionType:
    code, cells, scope = function.__code__, function.__closure__ or (), dict(function.__globals__)
    closure = tuple(CellType() for _ in cells)
    other = FunctionType(code, scope, function.__name__, None, closure)
    # Noted before its parts are looked into, since a function may hold itself.
    copies[id(function)] = other
    other.__defaults__ = _rebound(function.__defaults__, copies)
    other.__kwdefaults__ = _rebound(function.__kwdefaults__, copies)
    found = [(other.__defaults__, function.__defaults__), (other.__kwdefaults__, function.__kwdefaults__)]
    for name in scope.keys() & _names(code):
        value = scope[name]
        # Functions of other files are libraries, which do not know the model.
        if not isinstance(value, FunctionType) or value.__globals__ is function.__globals__:
            scope[name] = _rebound(value, copies)
            found.append((scope[name], value))
    for cell, original in zip(closure, cells, strict=True):
        with suppress(ValueError):  # of an empty cell
            cell.cell_contents = _rebound(original.cell_contents, copies)
            found.append((cell.cell_contents, original.cell_contents))
    if all(new is old or new is other for new, old in found):
        copies[id(function)] = function
    return copies[id(function)]


def _names(code: CodeType) -> set[str]:
    # A comprehension or an inner function has a code of its own.
    return {*code.co_names}.union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    # Tensors made under inference_mode cannot be saved for a backward pass; a clone can.
    return tensor.clone() if tensor.is_inference() else tensor
