"""The private view keeps what models do outside the registered tree."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from cifar_explain import explain
from cifar_explain.inference import private_view

pytestmark = pytest.mark.numeric


def test_view_shares_every_weight_and_gives_the_same_output(model, images, assert_close):
    view, copies = private_view(model)
    assert {id(module) for module in model.modules()} == set(copies)
    for ours, theirs in zip(view.parameters(), model.parameters(), strict=True):
        assert ours.data_ptr() == theirs.data_ptr()
        assert not ours.requires_grad
    assert_close(view(images), model(images).detach())


def test_view_sees_weights_as_they_are_now(model, images):
    before = explain(model, images, target=0)
    with torch.no_grad():
        model.fc.weight.neg_()
    assert np.abs(explain(model, images, target=0) - before).max() > 0.1


def test_tied_modules_stay_tied():
    conv = nn.Conv2d(3, 3, 1)
    view, _ = private_view(nn.Sequential(conv, nn.Sequential(conv)))
    assert view[0] is view[1][0]


def test_bound_methods_and_lists_of_modules_point_into_the_view(model, images, assert_close):
    expected = explain(model, images)
    original_forward = type(model).forward
    model.forward = types.MethodType(lambda self, x: original_forward(self, x), model)
    model.parts = [model.stem, {"not": "rebound"}]
    assert_close(explain(model, images), expected)
    view, _ = private_view(model)
    assert view.parts[0] is view.stem


def test_parametrized_weights_give_the_same_maps(images, assert_close):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    expected = explain(model, images, layers="1")
    nn.utils.parametrizations.weight_norm(model[0])
    assert_close(explain(model, images, layers="1"), expected)


def test_compiled_model_is_explained_through_the_module_it_wraps(model, images, assert_close):
    compiled = torch.compile(model, backend="eager")
    assert_close(explain(compiled, images), explain(model, images))
    expected = explain(model, images, layers="deep")
    model.stem = torch.compile(model.stem, backend="eager")
    assert_close(explain(model, images, layers="deep"), expected)


def test_model_without_parameters_is_explained(images):
    model = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert explain(model, images, layers="0", method="gradcam").shape == (5, 1, 12, 16)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_torchscript_is_rejected(model, images):
    with pytest.raises(ValueError, match="TorchScript"):
        explain(torch.jit.trace(model, images), images, layers="deep")
