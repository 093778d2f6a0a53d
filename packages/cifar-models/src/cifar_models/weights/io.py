"""One `.safetensors` file that says what it is: weights, architecture, input spec, recipe and metrics.

The safetensors metadata holds one JSON document under the key "cifar_models". Loading never unpickles, builds
nothing before the header is checked, and reads no tensor before names, shapes and types agree.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cifar_models.architectures.registry import create_model
from cifar_models.atomic import write_at_once
from cifar_models.preprocessing import CIFAR10, InputSpec
from cifar_models.validation import shortened
from cifar_models.weights.container import MAX_HEADER_BYTES, Container, read_container
from cifar_models.weights.header import DTYPES, FORMAT_VERSION, WeightsHeader

_KEY = "cifar_models"


@dataclass(frozen=True)
class Weights(WeightsHeader):
    """A loaded weights file: its header's attributes, and these.

    Attributes:
        model: The model in eval mode on the CPU, its parameters float32.
        sha256: Hexadecimal SHA-256 of the whole file.
    """

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
    """Write a model to a weights file at once or not at all, and return the file's SHA-256.

    The same content gives the same bytes. The model keeps its mode, device and dtype.

    Args:
        path: The file; its folder must exist. A file already there is replaced.
        model: What `create_model(architecture, **arguments)` returned, trained or not.
        architecture: Name in the registry.
        arguments: Keyword arguments of the architecture, JSON values only.
        spec: What the model takes in.
        recipe: How it was trained, JSON values only.
        metrics: What it reached, JSON values only.
        dtype: "float16" (half the size, about 3 significant digits) or "float32".

    Raises:
        ValueError: If the model is not of that architecture or does not fit the spec, a weight is not finite
            (in float16: beyond 65504), or a value is not allowed.
        OSError: If the file cannot be written.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    document = WeightsHeader(
        architecture=architecture,
        arguments=dict(arguments or {}),
        spec=spec,
        recipe=dict(recipe or {}),
        metrics=dict(metrics or {}),
        dtype=dtype,
        format_version=FORMAT_VERSION,
    ).to_json()
    # From the document, as a loader will: what it could not build is refused here.
    blank = _blank_model(WeightsHeader.from_json(document))
    kept = getattr(torch, dtype)
    state = {name: _stored(name, tensor, kept) for name, tensor in model.state_dict().items()}
    _check_names_and_shapes(blank, {name: tuple(tensor.shape) for name, tensor in state.items()})
    data = safetensors.torch.save(state, metadata={_KEY: document})
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise ValueError(f"recipe and metrics make a header of more than {MAX_HEADER_BYTES} bytes")
    write_at_once(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def load_weights(path: str | os.PathLike[str]) -> Weights:
    """Return the model of a weights file, ready to use, with all that the file says about it.

    Nothing in the file is executed, and the global random state stays as it was.

    Args:
        path: A file that `save_weights` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole and valid weights file of a known architecture; the reason is told.
    """
    with Path(path).open("rb") as file:
        try:
            container = read_container(file)
            header = WeightsHeader.from_json(_embedded_document(container))
            blank = _blank_model(header)
            _check_names_and_shapes(blank, {name: entry.shape for name, entry in container.tensors.items()})
            _check_dtypes(blank, container, header.dtype)
            file.seek(0)
            data = file.read(container.size)
            model = _filled(blank, safetensors.torch.load(data))
        except (ValueError, safetensors.SafetensorError) as error:
            raise ValueError(f"cannot load {os.fspath(path)}: {error}") from error
    return Weights(**vars(header), model=model, sha256=hashlib.sha256(data).hexdigest())


def read_header(path: str | os.PathLike[str]) -> WeightsHeader:
    """Return what a weights file says about itself, without reading its tensors.

    The architecture may be one that is not registered here.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole safetensors file with a valid header; the reason is told.
    """
    with Path(path).open("rb") as file:
        try:
            return WeightsHeader.from_json(_embedded_document(read_container(file)))
        except ValueError as error:
            raise ValueError(f"cannot read {os.fspath(path)}: {error}") from error


def _embedded_document(container: Container) -> str:
    if _KEY not in container.metadata:
        raise ValueError(f"its metadata has no {_KEY!r} entry, so save_weights did not write it")
    return container.metadata[_KEY]


def _blank_model(header: WeightsHeader) -> nn.Module:
    """Return the model without memory for its weights, in eval mode, once its logits fit the classes."""
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


def _check_names_and_shapes(blank: nn.Module, found: Mapping[str, tuple[int, ...]]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in blank.state_dict().items()}
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise ValueError(
            f"tensors missing: {shortened(missing)}; not of this architecture: {shortened(extra)}"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(f"tensor {name!r} has the shape {found[name]}, expected {shape}")


def _check_dtypes(blank: nn.Module, container: Container, dtype: str) -> None:
    for name, tensor in blank.state_dict().items():
        found = container.tensors[name].dtype
        expected = DTYPES[dtype] if tensor.is_floating_point() else "I64"
        if found != expected:
            raise ValueError(f"tensor {name!r} has the dtype {found}, expected {expected}")


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        if tensor.dtype != torch.int64:
            raise ValueError(f"tensor {name!r} has the dtype {tensor.dtype}; allowed: floating-point, int64")
        return tensor.detach().cpu().contiguous().clone()
    _check_finite(name, tensor)
    # Contiguous: safetensors has no strides, and a channels_last model must give the same file.
    stored = tensor.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)
    if not stored.isfinite().all():
        raise ValueError(f"tensor {name!r} has values beyond the range of {dtype}; save it as float32")
    return stored


def _filled(blank: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    for name, tensor in state.items():
        if tensor.is_floating_point():
            _check_finite(name, tensor)
            state[name] = tensor.float()
    blank.load_state_dict(state, assign=True)
    return blank


def _check_finite(name: str, tensor: Tensor) -> None:
    if not tensor.isfinite().all():
        raise ValueError(f"tensor {name!r} has values that are not finite")
