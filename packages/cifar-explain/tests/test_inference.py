"""The private view keeps what models do outside the registered tree."""

import types
from collections import deque
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

from cifar_explain import explain, predict_logits
from cifar_explain.inference import private_view

pytestmark = pytest.mark.numeric


def test_view_shares_weights_and_ties_and_is_in_evaluation_mode():
    conv = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(conv, nn.Sequential(conv)).train()
    view, copies = private_view(model)
    assert view[0] is view[1][0] is copies[id(conv)] is not conv
    assert view[0].weight.data_ptr() == conv.weight.data_ptr()
    assert not view[0].weight.requires_grad
    assert (view.training, view[0].training, model.training) == (False, False, True)


def tail(net, x):
    return net.fc(net.drop(torch.relu(net.deep(x)).mean((2, 3))))


def recursive(net):
    def head(x, *, again=True):
        return head(x, again=False) if again else tail(net, x)

    return head


class Head:
    def __init__(self, net):
        self.net = net

    def run(self, x):
        return tail(self.net, x)

    __call__ = run


class Quiet:
    """Cannot be called, and holds the model only within a container."""

    def __init__(self, held):
        self.held = held

    def run(self, x):
        held = self.held
        while not isinstance(held, nn.Module):
            held = held.held if isinstance(held, Quiet) else held["net" if isinstance(held, dict) else 0]
        return tail(held, x)


class Holder(Quiet):
    __call__ = Quiet.run


def annotated(net):
    def head(x):
        return tail(head.net, x)

    head.net = net
    return head


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(lambda net: lambda x: tail(net, x), id="closure"),
        pytest.param(lambda net: lambda x, net=net: tail(net, x), id="default"),
        pytest.param(lambda net: lambda x, *, parts=(net,): tail(parts[0], x), id="keyword"),
        pytest.param(
            lambda net: eval("lambda x: [tail(net, x) for _ in '.'][0]", globals() | {"net": net}),
            id="global",
        ),
        pytest.param(lambda net: eval("lambda x: run(x)", {"run": Head(net).run}), id="global method"),
        pytest.param(recursive, id="recursive"),
        pytest.param(lambda net: partial(tail, net), id="partial"),
        pytest.param(lambda net: partial(lambda f, x: f(x), Head(net).run), id="partial of a method"),
        pytest.param(Head, id="object"),
        pytest.param(lambda net: Head(net).run, id="method"),
        pytest.param(lambda net: Holder({"net": [net]}), id="dict in an object"),
        pytest.param(lambda net: Holder([Holder((net,))]), id="objects within each other"),
        pytest.param(lambda net: partial(Quiet.run, Quiet(deque([net]))), id="deque"),
        pytest.param(lambda net: (lambda run: lambda x: run(x))(Quiet([net]).run), id="lambda of a method"),
        pytest.param(lambda net: types.MethodType(tail, net), id="function as a method"),
        pytest.param(annotated, id="attribute of a function"),
    ],
)
def test_whatever_holds_the_model_points_into_the_view(head, model, images, assert_close):
    expected = explain(model, images)
    model.head = head(model)
    model.forward = types.MethodType(lambda self, x: self.head(self.middle(self.stem(x))), model)
    model.parts = [model.stem, {"not": "rebound"}]
    # The original, in training mode, would run its dropout and no hook of the view.
    assert_close(explain(model.train(), images), expected)
    view, _ = private_view(model)
    assert view.parts[0] is view.stem


class Slots:
    __slots__ = ("net",)

    def __init__(self, net):
        self.net = net

    def __call__(self, x):
        return tail(self.net, x)


@pytest.mark.parametrize("holder", [Slots, lambda net: cache(partial(tail, net))])
@pytest.mark.parametrize("call", [predict_logits, partial(explain, layers="stem")])
def test_dropout_that_cannot_be_put_into_evaluation_mode_is_rejected(
    call, holder, model, images, assert_close
):
    expected = call(model, images)
    model.head = holder(model)
    model.forward = lambda x: model.head(model.middle(model.stem(x)))
    wrapped = getattr(model.head, "__wrapped__", None)
    assert_close(call(model, images), expected)
    with pytest.raises(ValueError, match="dropout runs in training mode"):
        call(model.train(), images)
    assert getattr(model.head, "__wrapped__", None) is wrapped


def test_module_that_is_not_registered_is_put_into_evaluation_mode(model, images, assert_close):
    expected = explain(model, images)
    part = nn.Sequential(nn.BatchNorm2d(8), nn.Dropout(0.9))
    model.parts = [part]
    model.forward = types.MethodType(
        lambda self, x: tail(self, self.parts[0](self.middle(self.stem(x)))), model
    )
    assert_close(explain(model, images), expected)
    assert part.training
    assert part[0].num_batches_tracked == 0


def test_hooks_of_the_model_write_where_they_wrote_before(model, images):
    seen = []
    model.drop.register_forward_hook(lambda *_: seen.append(model.training))
    explain(model.train(), images)
    assert seen == [False]


IMAGES = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(IMAGES.astype(np.float64), id="float64"),
        pytest.param(torch.from_numpy(IMAGES).double(), id="float64 tensor"),
        pytest.param(IMAGES.astype(np.longdouble), id="long double"),
        pytest.param(IMAGES.astype(">f4"), id="big-endian"),
        pytest.param(IMAGES[..., ::-1].copy()[..., ::-1], id="negative strides"),
        pytest.param(np.asfortranarray(IMAGES), id="Fortran order"),
        pytest.param(np.broadcast_to(IMAGES, IMAGES.shape), id="read-only"),
    ],
)
def test_images_of_any_precision_and_memory_layout_are_those_of_float32(given, model):
    expected = predict_logits(model, torch.from_numpy(IMAGES))
    np.testing.assert_array_equal(predict_logits(model, given), expected)
    np.testing.assert_array_equal(explain(model, given), explain(model, IMAGES))
    half = torch.from_numpy(IMAGES).half()
    np.testing.assert_array_equal(predict_logits(model, half), predict_logits(model, half.float().numpy()))
    assert np.isfinite(predict_logits(model.bfloat16(), given)).all()


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
