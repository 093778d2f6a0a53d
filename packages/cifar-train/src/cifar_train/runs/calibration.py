"""What is fitted on the validation split, and whether model and data belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from cifar_data import CIFAR10DataModule
from cifar_explain import fit_familiarity, predict_logits
from cifar_models import InputSpec, Weights, fold_batch_norms
from cifar_train.runs.checkpoint import load_checkpoint

#: Share of validation images that may look unfamiliar.
FALSE_ALARM_RATE = 0.05


def validation_logits(
    model: nn.Module, datamodule: CIFAR10DataModule, spec: InputSpec
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The model's logits ``(N, K)`` on the validation split, and the labels ``(N,)``."""
    train = datamodule.dataset.train
    indices = datamodule.val_indices
    logits = predict_logits(fold_batch_norms(model), train.images[indices], preprocess=spec.normalize)
    return logits, np.asarray(train.labels[indices], np.int64)


def calibrate(checkpoint: Path, datamodule: CIFAR10DataModule) -> dict[str, Any]:
    """What a checkpoint reaches on the validation split, and what is fitted there about its confidence.

    Args:
        checkpoint: The checkpoint whose model is asked.
        datamodule: The data.

    Returns:
        `val_accuracy` in [0, 1], `val_loss` in nats and `familiarity`, plain types; empty where there is no
        validation split.
    """
    if not datamodule.val_size:
        return {}
    model, spec = load_checkpoint(checkpoint)
    logits, labels = validation_logits(model, datamodule, spec)
    return {
        "val_accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "val_loss": float(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))),
        "familiarity": fit_familiarity(logits, labels, false_alarm_rate=FALSE_ALARM_RATE).to_dict(),
    }


def check_data(weights: Weights, datamodule: CIFAR10DataModule) -> None:
    """Check that a model expects the classes and the normalisation that the data has.

    Raises:
        ValueError: If it does not.
    """
    spec = weights.spec
    if tuple(datamodule.classes) != spec.classes:
        raise ValueError(f"the weights know the classes {spec.classes}, the data has {datamodule.classes}")
    expected = np.array([spec.mean, spec.std])
    if not np.allclose(expected, np.array([datamodule.mean, datamodule.std]), atol=1e-4):
        raise ValueError(
            f"the weights expect images normalised with mean {spec.mean} and std {spec.std}, "
            f"the data has {datamodule.mean} and {datamodule.std}; give the data they were trained on"
        )
