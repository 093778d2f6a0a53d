"""A private view of a model: the same weights, but hooks, modes and graphs of its own."""

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: Called with the steps done and all steps; an exception that it raises ends the work.
Progress: TypeAlias = Callable[[int, int], None]

#: Images per forward pass: enough to keep a few cores busy, few enough for activations to stay in their cache.
BATCH_SIZE = 100

_CONTAINERS = (dict, OrderedDict, defaultdict, list, deque, tuple, set, frozenset)


def private_view(model: nn.Module) -> tuple[nn.Module, dict[int, Any]]:
    """Returns a copy of a model's modules that shares its weights, and the copies by `id` of their original.

    The copy is in evaluation mode and none of its parameters requires a gradient. Its hooks and modes leave the
    model alone, so that many threads can look into one model at once. The model's own hooks run in the copy too,
    and modules that only a function or an object holds are copied as well. A compiled model is viewed through the
    module it wraps.
    """
    copies: dict[int, Any] = {}
    return _copy(check_module(model), copies), copies


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


class EvaluationMode(TorchFunctionMode):
    """Ends a view's pass that reaches dropout or batch norm in training mode, held by what cannot be copied."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        # Batch normalisation without running statistics is the same in both modes, as is dropout of nothing.
        same = args[1] is None if func is nn.functional.batch_norm else options.get("p") == 0
        if options.get("training") and not same:
            advice = "call eval() on the module that runs it, or pass training=self.training"
            raise ValueError(f"{func.__name__} runs in training mode in a model in evaluation mode; {advice}")
        return func(*args, **options)


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """Returns the copy of a module, or of a container, function or object that holds one; any other value as it is."""
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, nn.Module):
        if (wrapped := value._modules.get("_orig_mod")) is not None:
            copies[id(value)] = _copy(wrapped, copies)
            return copies[id(value)]
        # Noted before its parts are copied, since they may hold it; so are functions and objects below.
        other = copies[id(value)] = object.__new__(type(value))
        other.__dict__.update(_module_state(value, copies))
        return other
    if not _holds_module(value, set()):
        return value
    if isinstance(value, MethodType):
        return MethodType(_copy(value.__func__, copies), _copy(value.__self__, copies))
    if type(value) is partial:
        function, arguments, options = (_copy(part, copies) for part in _parts(value))
        return partial(function, *arguments, **options)
    if type(value) in (tuple, set, frozenset):
        return type(value)(_copy(part, copies) for part in value)
    if isinstance(value, FunctionType):
        return _copy_function(value, copies)
    other = copies[id(value)] = copy.copy(value)
    if other is value:  # It cannot be copied, such as a `functools.cache`.
        return value
    parts = other if type(value) in _CONTAINERS else _attributes(other)
    for key, part in list(parts.items() if isinstance(parts, dict) else enumerate(parts)):
        parts[key] = _copy(part, copies)
    if parts is not other:
        vars(other).update(parts)
    return other


def _module_state(module: nn.Module, copies: dict[int, Any]) -> dict[str, Any]:
    """Returns a module's attributes for its copy: containers of its own, shared weights, evaluation mode."""
    # Dictionaries are copied at once, so that another thread may set attributes or hooks meanwhile.
    state = dict(vars(module))
    for name, value in _attributes(module).items():
        state[name] = _copy(value, copies)
        if state[name] is value and type(value) in (dict, OrderedDict, defaultdict, list, set):
            state[name] = copy.copy(value)
    # What `module.compile()` leaves behind would call the original.
    state.pop("_compiled_call_impl", None)
    # A detached alias: no gradient of it can be computed, and `.grad` of the original is out of reach.
    state["_parameters"] = {
        name: nn.Parameter(_ordinary(tensor.detach()), requires_grad=False) if tensor is not None else None
        for name, tensor in module._parameters.items()
    }
    state["_buffers"] = {
        name: tensor if tensor is None else _ordinary(tensor) for name, tensor in module._buffers.items()
    }
    state["training"] = False
    return state


def _copy_function(function: FunctionType, copies: dict[int, Any]) -> FunctionType:
    scope, closure = dict(function.__globals__), tuple(CellType() for _ in function.__closure__ or ())
    other = FunctionType(function.__code__, scope, function.__name__, None, closure)
    copies[id(function)] = other
    other.__defaults__ = _copy(function.__defaults__, copies)
    other.__kwdefaults__ = _copy(function.__kwdefaults__, copies)
    vars(other).update(_copy(vars(function), copies))
    scope.update({name: _copy(value, copies) for name, value in _globals(function).items()})
    for cell, original in zip(closure, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # of an empty cell
            cell.cell_contents = _copy(original.cell_contents, copies)
    return other


def _holds_module(value: Any, seen: set[int]) -> bool:
    if isinstance(value, nn.Module):
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(_holds_module(part, seen) for part in _parts(value))


def _parts(value: Any) -> list[Any]:
    """Returns what a value holds that may be or hold a module."""
    if isinstance(value, FunctionType):
        parts = [*_globals(value).values(), value.__defaults__, value.__kwdefaults__, vars(value)]
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # of an empty cell
                parts.append(cell.cell_contents)
        return parts
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if type(value) is partial:
        return [value.func, value.args, value.keywords]
    if type(value) in _CONTAINERS:
        return list(value.values() if isinstance(value, dict) else value)
    return list(_attributes(value).values())


def _attributes(value: Any) -> dict[str, Any]:
    """Returns an object's attributes, but for such as a trainer, which lead far away and hold no module themselves."""
    if isinstance(value, type | ModuleType | torch.Tensor):
        return {}
    return {
        name: part
        for name, part in dict(getattr(value, "__dict__", {})).items()
        if type(part) in _CONTAINERS
        or callable(part)
        or any(isinstance(held, nn.Module) for held in list(getattr(part, "__dict__", {}).values()))
    }


def _globals(function: FunctionType) -> dict[str, Any]:
    """Returns the globals that a function uses, but for functions of other files: libraries, which know no model."""
    scope = function.__globals__
    return {
        name: scope[name]
        for name in scope.keys() & _names(function.__code__)
        if not isinstance(scope[name], FunctionType) or scope[name].__globals__ is scope
    }


def _names(code: CodeType) -> set[str]:
    # A comprehension or an inner function has a code of its own.
    return {*code.co_names}.union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    # Tensors made under inference_mode cannot be saved for a backward pass; a clone can.
    return tensor.clone() if tensor.is_inference() else tensor
