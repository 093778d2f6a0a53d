"""From a training checkpoint to a weights file, without unpickling anything."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from cifar_models import InputSpec, create_model, read_header, save_weights
from cifar_train.runs.directory import RunDirectory

#: Where a checkpoint keeps what a weights file needs beside the tensors.
CHECKPOINT_KEY = "cifar_train"


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    *,
    recipe: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    dtype: str = "float32",
) -> Path:
    """Write the weights file of a checkpoint.

    Args:
        checkpoint: A checkpoint that cifar-train wrote.
        out: The file to write, ending in `.safetensors`.
        recipe: The configuration of the run, stored in the header.
        metrics: Stored in the header, with the data's fingerprint added.
        dtype: Of the stored weights, float32 or float16.

    Returns:
        `out`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not a checkpoint of cifar-train.
    """
    content = read_checkpoint(checkpoint)
    model, spec = restore_model(content)
    described = content[CHECKPOINT_KEY]
    save_weights(
        out,
        model,
        architecture=described["architecture"],
        arguments=described["arguments"],
        spec=spec,
        recipe=recipe or {},
        metrics={**(metrics or {}), "data_fingerprint": described["data_fingerprint"]},
        dtype=dtype,
    )
    return out


def load_checkpoint(path: Path) -> tuple[nn.Module, InputSpec]:
    """The model of a checkpoint, in evaluation mode on the CPU, and what it takes in.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not a checkpoint of cifar-train.
    """
    return restore_model(read_checkpoint(path))


def restore_model(content: dict[str, Any]) -> tuple[nn.Module, InputSpec]:
    """What :func:`load_checkpoint` returns, of a checkpoint that :func:`read_checkpoint` has read."""
    described = content[CHECKPOINT_KEY]
    model = create_model(described["architecture"], **described["arguments"]).eval()
    prefix = "net."
    model.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in content["state_dict"].items()
            if name.startswith(prefix)
        }
    )
    return model, InputSpec.from_dict(described["input_spec"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of cifar-train: tensors and plain types only.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint of cifar-train.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with warnings.catch_warnings():
            # Of a foreign pickle torch first says that it may not understand it; then it refuses, which is said below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # Of bytes that are no checkpoint the unpickler raises almost anything.
        raise ValueError(f"{path} is not a checkpoint that can be read safely: {error!r}") from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise ValueError(f"{path} was not written by cifar-train: it lacks {CHECKPOINT_KEY!r}")
    return content


def run_metrics(run: RunDirectory) -> dict[str, Any]:
    """The metrics in the header of a run's weights file; empty if the run has none yet."""
    return read_header(run.weights).metrics if run.weights.exists() else {}


def run_recipe(run: RunDirectory) -> dict[str, Any]:
    """What of a run's configuration made the weights what they are: no paths of the machine it ran on.

    Raises:
        FileNotFoundError: If the run has no configuration.
    """
    config = yaml.safe_load(run.config.read_text())
    data = {
        key: value for key, value in config["data"].items() if key not in ("root", "cache_dir", "num_workers")
    }
    trainer = {
        key: config["trainer"][key]
        for key in ("max_epochs", "max_steps", "accumulate_grad_batches", "precision", "gradient_clip_val")
    }
    kept = {key: config[key] for key in ("recipe", "seed_everything", "model")}
    return json.loads(json.dumps({**kept, "data": data, "trainer": trainer}))
