"""Weights files: one `.safetensors` with weights, architecture, input spec, recipe and metrics.

The safetensors metadata holds one JSON document under the key "cifar_models". Loading never unpickles, builds nothing
before the header is checked, and reads no tensor before names, shapes and types agree.
"""

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from cifar_models.architectures.registry import create_model
from cifar_models.atomic import write_at_once
from cifar_models.preprocessing import CIFAR10, InputSpec
from cifar_models.validation import shortened
from cifar_models.weights.header import DTYPES, FORMAT_VERSION, WeightsHeader

_KEY = "cifar_models"

# Names in safetensors.
_DTYPES = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}

# Parts of names that come from torch.compile, from data parallel and averaged models, and from FSDP.
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module"}


@dataclass(frozen=True)
class Weights(WeightsHeader):
    """A loaded weights file: its header, the model (in eval mode, float32, on the CPU), and the SHA-256 of the file."""

    model: nn.Module
    sha256: str


def save_weights(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    architecture: str,
    arguments: Mapping[str, Any] | None = None,
    spec: InputSpec = CIFAR10,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> str:
    """Writes a model to a weights file, the whole file or none of it, and returns the file's SHA-256.

    The same content gives the same bytes. The model keeps its mode, device and dtype.

    Args:
        path: The file, replaced if it exists; its folder must exist.
        model: A model of `create_model(architecture, **arguments)`, trained or not. If it, or a layer, is compiled,
            parallel, sharded or averaged, the network within is saved; of a sharded one, call this in all processes.
        architecture: Name in the registry.
        arguments: Keyword arguments of the architecture, JSON values only.
        spec: Classes and preprocessing, which have to fit the model.
        recipe: Settings of the training, JSON values only.
        metrics: Measured results, JSON values only.
        dtype: "float16" (half the size, about 3 significant digits, up to 65504) or "float32".
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    given, settings, results = (dict(values or {}) for values in (arguments, recipe, metrics))
    document = WeightsHeader(architecture, given, spec, settings, results, dtype, FORMAT_VERSION).to_json()
    # From the document, as a loader does: what it could not build is rejected here.
    blank = _blank_model(WeightsHeader.from_json(document))
    state = {}
    for name, tensor in _plain_state(model, blank.state_dict().keys()).items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # of FSDP
        kept = getattr(torch, dtype) if tensor.is_floating_point() else tensor.dtype
        # Contiguous: safetensors has no strides, and a channels_last model must give the same file.
        state[name] = whole.detach().to("cpu", kept).clone(memory_format=torch.contiguous_format)
    found = {name: f"{_DTYPES.get(one.dtype, one.dtype)} {tuple(one.shape)}" for name, one in state.items()}
    _check_tensors(found, blank, dtype, owner=type(model).__name__)
    _check_finite(state)
    data = safetensors.torch.save(state, metadata={_KEY: document})
    write_at_once(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def load_weights(path: str | os.PathLike[str]) -> Weights:
    """Loads a weights file; nothing in it is executed, and the global random state stays as it was.

    Anything but a complete and valid weights file of a known architecture is a ValueError with the reason.
    """
    with _opened(path, "load") as file:
        header = _header(file)
        blank = _blank_model(header)
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        found = {name: f"{one.get_dtype()} {tuple(one.get_shape())}" for name, one in slices.items()}
        _check_tensors(found, blank, header.dtype, owner="file")
        # Read rather than memory-mapped: hashed and loaded are the same bytes, even if the file is replaced meanwhile.
        data = Path(path).read_bytes()
        state = safetensors.torch.load(data)
        _check_finite(state)
        widened = {name: one.float() if one.is_floating_point() else one for name, one in state.items()}
        blank.load_state_dict(widened, assign=True)
    return Weights(**vars(header), model=blank, sha256=hashlib.sha256(data).hexdigest())


def read_header(path: str | os.PathLike[str]) -> WeightsHeader:
    """Reads the header of a weights file without its tensors; the architecture need not be registered."""
    with _opened(path, "read") as file:
        return _header(file)


@contextmanager
def _opened(path: str | os.PathLike[str], purpose: str) -> Iterator[Any]:
    """Opens a safetensors file; what is wrong with it becomes a ValueError that names it."""
    with Path(path).open("rb") as file:
        start = file.read(2)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        reason = f"it is not a complete safetensors file ({error})"
        # A zip archive, or a pickle of protocol 2 or later.
        if start == b"PK" or start[:1] == b"\x80":
            reason += "; PyTorch checkpoints and other pickles are never opened, since they could run code"
        raise ValueError(f"cannot {purpose} {os.fspath(path)}: {reason}") from error
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"cannot {purpose} {os.fspath(path)}: {error}") from error


def _header(file: Any) -> WeightsHeader:
    metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise ValueError(f"its metadata has no {_KEY!r} entry, so save_weights did not write it")
    return WeightsHeader.from_json(metadata[_KEY])


def _blank_model(header: WeightsHeader) -> nn.Module:
    """Returns the model in eval mode, without memory for its weights, once its logits fit the classes."""
    size, classes = header.spec.size, len(header.spec.classes)
    try:
        with torch.device("meta"):
            model = create_model(header.architecture, **header.arguments).eval()
            logits = model(torch.empty(1, 3, size, size))
    except (TypeError, RuntimeError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0]
        arguments = shortened(header.arguments)
        raise ValueError(f"cannot build {header.architecture} with {arguments}: {reason}") from error
    if logits.shape != (1, classes):
        raise ValueError(f"the model gives outputs {tuple(logits.shape)} where (1, {classes}) is expected")
    unsaved = sorted(dict(model.named_buffers()).keys() - model.state_dict().keys())
    if unsaved:
        raise ValueError(f"the model has buffers that no weights file would hold: {shortened(unsaved)}")
    return model


def _plain_state(model: object, names: Set[str]) -> dict[str, Tensor]:
    """Returns the state of the network within PyTorch's wrappers, which may be around it or around its layers."""
    # A network that was compiled twice is a function.
    network = model if isinstance(model, nn.Module) else getattr(inspect.unwrap(model), "__self__", None)  # type: ignore[arg-type]
    if not isinstance(network, nn.Module):
        raise ValueError(f"model must be an nn.Module, got {model!r}; give the network that it calls")  # noqa: TRY004
    own = {_without_wrappers(name): name for name in names}
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        plain = name if name in names else own.get(_without_wrappers(name), name)
        if plain in names or not name.endswith("n_averaged"):  # the counter of an averaged model
            # No wrapper makes two tensors of one: the second keeps its name, which is then rejected.
            state[name if plain in state else plain] = tensor
    return state


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _check_tensors(found: Mapping[str, str], blank: nn.Module, dtype: str, *, owner: str) -> None:
    """Compares dtype and shape of each tensor, such as "F32 (10, 512)", with the blank model's."""
    expected = {
        name: f"{_DTYPES[getattr(torch, dtype)] if one.is_floating_point() else 'I64'} {tuple(one.shape)}"
        for name, one in blank.state_dict().items()
    }
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        difference = f"it lacks the tensors {shortened(missing)} and should not have {shortened(extra)}"
        raise ValueError(f"the {owner} is not of this architecture: {difference}")
    for name, wanted in expected.items():
        if found[name] != wanted:
            raise ValueError(f"tensor {name!r} is {found[name]}, expected {wanted}")


def _check_finite(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            hint = "; float32 holds values beyond 65504" if tensor.dtype == torch.float16 else ""
            raise ValueError(f"tensor {name!r} has values that are not finite in {tensor.dtype}{hint}")
