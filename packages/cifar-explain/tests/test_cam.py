"""The maps: equal to pytorch-grad-cam's, without a trace, from many threads."""

import copy
import tracemalloc
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from torch import nn

from cifar_explain import METHODS, Versus, explain
from cifar_explain.cam.explain import _CLASSES, layer_maps

pytestmark = pytest.mark.numeric

every_method = pytest.mark.parametrize("method", METHODS)


def library_maps(model, layers, images, method, targets):
    """pytorch-grad-cam called once per layer, on a model of its own."""
    model = copy.deepcopy(model)
    maps = []
    for name in layers:
        with getattr(pytorch_grad_cam, _CLASSES[method])(model, [model.get_submodule(name)]) as cam:
            maps.append(cam(images, targets))
    return np.stack(maps, axis=1)


@every_method
def test_maps_equal_pytorch_grad_cam_called_once_per_layer(method, model, images, assert_close):
    layers = ["stem", "middle", "deep"]
    targets = [lambda logits, k=k: logits[k] for k in (0, 1, 2, 3, 1)]
    expected = library_maps(model, layers, images, method, targets)
    maps = explain(model, images, layers=layers, method=method, target=[0, 1, 2, 3, 1])
    assert 0 <= maps.min() < maps.max() <= 1
    assert_close(maps, expected)
    assert np.ptp(expected, axis=(2, 3)).max() > 0.9  # the comparison is not one of zeros


@every_method
def test_constant_added_to_a_logit_changes_no_map(method, model, images, assert_close):
    expected = explain(model, images, method=method, target=1)
    with torch.no_grad():
        model.fc.bias[1] += 50
    assert_close(explain(model, images, method=method, target=1), expected)


def test_eigencam_takes_memory_by_the_pixels_not_by_their_square():
    activations = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    layer_maps("eigencam", activations, None, size=(64, 64))  # imports
    tracemalloc.start()
    layer_maps("eigencam", activations, None, size=(64, 64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * activations.nbytes  # a matrix of 4096 x 4096 would be 1024 times as large


def test_targets_are_given_as_predicted_class_labels_names_or_differences(model, images, names, assert_close):
    predicted = model(images).argmax(1)
    base = explain(model, images)
    np.testing.assert_array_equal(base, explain(model, images, target=predicted))
    np.testing.assert_array_equal(base, explain(model, images, target=predicted.tolist()))
    by_name = explain(model, images, target="frog", class_names=names)
    np.testing.assert_array_equal(by_name, explain(model, images.numpy(), target=np.full(5, 2)))
    maps = explain(model, images, layers="deep", target=Versus("frog", "cat"), class_names=names)
    expected = library_maps(model, ["deep"], images, "gradcam", [lambda logits: logits[2] - logits[0]] * 5)
    assert_close(maps, expected)
    assert np.abs(maps[:, 0] - by_name[:, 2]).max() > 1e-3


def test_layers_are_given_by_name_or_module_and_kept_in_order(model, images, assert_close):
    base = explain(model, images)
    assert_close(explain(model, images, layers=[model.deep, "stem"]), base[:, [2, 0]])
    assert_close(explain(model, images, layers="deep"), base[:, 2:])
    assert_close(explain(model, images, layers=model.middle), base[:, 1:2])


@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_layer_output_counts_as_returned_though_later_overwritten(method, model, images, assert_close):
    layers = ["middle.0", "middle.1"]
    maps = explain(model, images, layers=layers, method=method)
    model.middle[1].inplace = False
    assert_close(maps, explain(model, images, layers=layers, method=method))


class Scale(nn.Module):
    """Writes down each pass, and whether its weight is differentiated."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.passes = deque()

    def forward(self, x):
        self.passes.append(("forward", self.weight.requires_grad))
        scaled = x * self.weight
        if scaled.requires_grad:
            scaled.register_hook(lambda _: self.passes.append("backward"))
        return scaled


@every_method
def test_one_pass_each_way_serves_all_layers_without_parameter_gradients(method, model, images):
    model.deep = nn.Sequential(model.deep, Scale())
    explain(model, images, layers=["stem", "middle", "deep"], method=method)
    assert list(model.deep[1].passes) == [("forward", False), "backward"][: 1 + (method != "eigencam")]


@every_method
@pytest.mark.parametrize("training", [False, True])
def test_explaining_leaves_no_trace(method, training, model, images, trace_of, assert_close):
    model.train(training)
    model.stem.requires_grad_(False)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    hook = model.deep.register_forward_hook(lambda *_: None)
    images.requires_grad_()
    before = trace_of(model)
    maps = explain(model, images[:2], method=method, target=1)
    assert trace_of(model) == before
    assert images.grad is None
    # Evaluation mode whatever the model's mode: batch statistics and dropout would give other maps.
    assert_close(maps, explain(model.eval(), images[:2], method=method, target=1))
    hook.remove()
    model.drop.register_forward_hook(lambda *_: 1 / 0)
    before = trace_of(model)
    with pytest.raises(ZeroDivisionError):
        explain(model, images, method=method)
    assert trace_of(model) == before


@every_method
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_callers_gradient_mode_makes_no_difference(method, context, model, images, assert_close):
    expected = explain(model, images, method=method)
    with context():
        copied = copy.deepcopy(model)  # under inference_mode its weights are inference tensors
        maps = explain(copied, images + 0, method=method)
        assert not torch.is_grad_enabled()
    assert_close(maps, expected)


@every_method
def test_sixteen_threads_on_one_model_get_the_serial_maps(method, model, assert_close):
    model.train()
    batches = torch.randn(16, 2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    layers = [["stem", "deep"], ["middle"], ["deep", "middle", "stem"], ["deep"]] * 4

    def work(number):
        return explain(model, batches[number], layers=layers[number], method=method, target=number % 4)

    serial = [work(number) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        for expected, maps in zip(serial * 2, pool.map(work, [*range(16)] * 2), strict=True):
            assert_close(maps, expected)


def test_channels_last_autocast_and_double_precision_give_the_same_maps(model, images, assert_close):
    expected = explain(model, images, target=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.abs(explain(model, images, target=1) - expected).mean() < 0.05
    last = {"memory_format": torch.channels_last}
    channels_last = copy.deepcopy(model).to(**last)
    assert_close(explain(channels_last, images.contiguous(**last), target=1), expected)
    assert_close(explain(model.double(), images.double(), target=1), expected)


def test_map_without_evidence_is_zero(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    assert not explain(model, images, layers="1").any()
