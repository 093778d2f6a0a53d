"""The weights file of a run: made of its best checkpoint, and made again when there is a better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cifar_data import CIFAR10DataModule
from cifar_models import load_weights, read_header
from cifar_train.runs.calibration import calibrate
from cifar_train.runs.checkpoint import (
    CHECKPOINT_KEY,
    export_checkpoint,
    load_checkpoint,
    read_checkpoint,
    run_recipe,
)
from cifar_train.runs.directory import RunDirectory


def write_weights(
    run: RunDirectory,
    datamodule: CIFAR10DataModule,
    *,
    tested: Mapping[str, float] | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Write the weights file of a run's best checkpoint, with what that very checkpoint reaches.

    Args:
        run: The run directory.
        datamodule: The data, for what is fitted on the validation split.
        tested: What the checkpoint reached on the test set, if it was tested.
        dtype: Of the stored weights, float32 or float16.

    Returns:
        The metrics in the file's header, but for the data's fingerprint.

    Raises:
        FileNotFoundError: If the run has no checkpoint or no configuration.
        ValueError: If the checkpoint is not one of cifar-train.
    """
    metrics = {**calibrate(run.best, datamodule), **(tested or {})}
    export_checkpoint(run.best, run.weights, recipe=run_recipe(run), metrics=metrics, dtype=dtype)
    return metrics


def weights_are_current(run: RunDirectory) -> bool:
    """Whether a run's weights file holds what its best checkpoint holds, up to the rounding of its number format.

    They differ when a finished run is trained on and stopped before it comes to its end again. Without a checkpoint
    there is nothing to be behind.
    """
    if not run.weights.exists():
        return False
    if not run.best.exists():
        return True
    weights = load_weights(run.weights)
    stored = weights.model.state_dict()
    trained = load_checkpoint(run.best)[0].state_dict()
    dtype = getattr(torch, weights.dtype)
    return stored.keys() == trained.keys() and all(
        torch.equal(stored[name], value.to(dtype).float() if value.is_floating_point() else value)
        for name, value in trained.items()
    )


def run_fingerprint(run: RunDirectory) -> str | None:
    """The fingerprint of the data that a run was trained on, by its checkpoint or else its weights file."""
    if run.best.exists():
        return read_checkpoint(run.best)[CHECKPOINT_KEY].get("data_fingerprint")
    return read_header(run.weights).metrics.get("data_fingerprint")
