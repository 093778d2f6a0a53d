import numpy as np
import pytest
import torch
from torch import nn


class SmallNet(nn.Module):
    """Three convolutions with what real models have: batch norm, in-place ReLU, dropout, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.deep = nn.Conv2d(8, 10, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(10, 4)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for value in (*self.parameters(), self.stem[1].running_mean):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.4)

    @property
    def cam_layers(self):
        return {"stem": self.stem, "middle": self.middle, "deep": self.deep}

    def forward(self, x):
        x = torch.relu(self.deep(self.middle(self.stem(x))))
        return self.fc(self.drop(x.mean((2, 3))))


def trace(model):
    """Everything about a model that explaining it could leave changed."""
    modules = [
        (id(module), module.training, {k: dict(v) for k, v in vars(module).items() if k.endswith("_hooks")})
        for module in model.modules()
    ]
    tensors = [
        (id(t), t._version, t.requires_grad, None if t.grad is None else (id(t.grad), t.grad._version))
        for t in (*model.parameters(), *model.buffers())
    ]
    return modules, tensors, torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.fixture
def trace_of():
    return trace


@pytest.fixture
def names():
    return "cat", "dog", "frog", "ship"


@pytest.fixture
def model():
    return SmallNet().eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 12, 16, generator=torch.Generator().manual_seed(1))
