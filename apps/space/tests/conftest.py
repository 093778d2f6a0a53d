"""A small untrained network as a weights file, and the service that answers with it."""

from pathlib import Path

import pytest
import torch

from cifar_models import create_model, load_weights, save_weights
from cifar_space import Service

ARGUMENTS = {"widths": [4, 6, 8]}


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("whitenet", **ARGUMENTS)
        # The classifier starts near zero, which would make all probabilities alike.
        torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, model, architecture="whitenet", arguments=ARGUMENTS, metrics={"test_accuracy": 0.875})
    return path


@pytest.fixture
def service(weights_file: Path) -> Service:
    return Service(load_weights(weights_file))
