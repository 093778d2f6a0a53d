"""The weights file of a run: the best checkpoint's weights with the values fitted on the validation split."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from cifar_data import CIFAR10DataModule
from cifar_explain import fit_ood_detector, predict_logits
from cifar_models import InputSpec, Weights, fuse_conv_bn, load_weights, read_header, save_weights
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, read_checkpoint, restore_model
from cifar_train.runs.directory import RunDirectory


def export_checkpoint(
    checkpoint: Path, out: Path, *, recipe: dict[str, Any], metrics: Mapping[str, Any], dtype: str = "float32"
) -> None:
    """Writes a checkpoint's weights to `out`; the data's fingerprint is added to `metrics`."""
    content = read_checkpoint(checkpoint)
    model, spec = restore_model(content)
    described = content[CHECKPOINT_KEY]
    save_weights(
        out,
        model,
        architecture=described["architecture"],
        arguments=described["arguments"],
        spec=spec,
        recipe=recipe,
        metrics={**metrics, "data_fingerprint": described["data_fingerprint"]},
        dtype=dtype,
    )


def write_weights(
    run: RunDirectory,
    datamodule: CIFAR10DataModule,
    *,
    tested: Mapping[str, float] | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Writes the weights file of a run's best checkpoint, or of its last if none was validated.

    The checkpoint is evaluated, and the OOD detector fitted, on the validation split. ``tested`` has its metrics on the
    test set, if it was tested. Returns the metrics in the file's header.
    """
    metrics: dict[str, Any] = {}
    if datamodule.val_size:
        model, spec = restore_model(read_checkpoint(run.trained))
        logits, labels = validation_logits(model, datamodule, spec)
        metrics = {
            "val_accuracy": float((logits.argmax(axis=1) == labels).mean()),
            "val_loss": float(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))),
            "familiarity": fit_ood_detector(logits, labels).to_dict(),
        }
    metrics |= tested or {}
    export_checkpoint(run.trained, run.weights, recipe=run_recipe(run), metrics=metrics, dtype=dtype)
    return metrics


def validation_logits(
    model: nn.Module, datamodule: CIFAR10DataModule, spec: InputSpec
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns the model's logits ``(N, K)`` on the validation split and the labels ``(N,)``."""
    train, indices = datamodule.dataset.train, datamodule.val_indices
    logits = predict_logits(fuse_conv_bn(model), train.images[indices], preprocess=spec.normalize)
    return logits, np.asarray(train.labels[indices], np.int64)


def run_recipe(run: RunDirectory) -> dict[str, Any]:
    """Returns the part of a run's configuration that made the weights: no paths of the machine it ran on."""
    config = run.read_config()
    trainer = ("max_epochs", "max_steps", "accumulate_grad_batches", "precision", "gradient_clip_val")
    recipe = {
        **{key: config[key] for key in ("recipe", "seed_everything", "model")},
        "data": {k: v for k, v in config["data"].items() if k not in ("root", "cache_dir", "num_workers")},
        "trainer": {key: config["trainer"][key] for key in trainer},
    }
    return json.loads(json.dumps(recipe))


def weights_are_current(run: RunDirectory) -> bool:
    """Returns whether a run's weights file holds its best checkpoint, if there is one, as rounded to its number format.

    It does not when a finished run is resumed and stopped before its end.
    """
    if not (run.weights.exists() and run.trained.exists()):
        return run.weights.exists()
    weights = load_weights(run.weights)
    stored = weights.model.state_dict()
    trained = restore_model(read_checkpoint(run.trained))[0].state_dict()
    dtype = getattr(torch, weights.dtype)
    return stored.keys() == trained.keys() and all(
        torch.equal(stored[name], value.to(dtype).float() if value.is_floating_point() else value)
        for name, value in trained.items()
    )


def check_weights(weights: Weights, datamodule: CIFAR10DataModule) -> None:
    """Checks that a model expects the classes and the normalisation of the data."""
    spec = weights.spec
    if tuple(datamodule.classes) != spec.classes:
        raise ValueError(f"the weights have the classes {spec.classes}, the data has {datamodule.classes}")
    if not np.allclose((spec.mean, spec.std), (datamodule.mean, datamodule.std), atol=1e-4):
        raise ValueError(
            f"the weights expect images normalised with mean {spec.mean} and std {spec.std}, "
            f"the data has {datamodule.mean} and {datamodule.std}; give the data they were trained on"
        )


def check_fingerprint(run: RunDirectory, datamodule: CIFAR10DataModule) -> None:
    """Checks that a run was trained on the data."""
    if run.trained.exists():
        found = read_checkpoint(run.trained)[CHECKPOINT_KEY].get("data_fingerprint")
    else:
        found = read_header(run.weights).metrics.get("data_fingerprint")
    if found not in (None, datamodule.fingerprint):
        raise ValueError(
            f"{run.path} was trained on data with the fingerprint {found[:12]}..., but "
            f"{datamodule.dataset.origin} has {datamodule.fingerprint[:12]}...; name its data with --data.root"
        )
