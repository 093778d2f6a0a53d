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


class Quiet:
    """Holds a model, perhaps within containers and objects, and cannot be called."""

    def __init__(self, held):
        self.held = held

    def run(self, x):
        held = self.held
        while not isinstance(held, nn.Module):
            held = held.held if isinstance(held, Quiet) else held["net" if isinstance(held, dict) else 0]
        return tail(held, x)


class Holder(Quiet):
    __call__ = Quiet.run


def recursive(net):
    def head(x, *, again=True):
        return head(x, again=False) if again else tail(net, x)

    return head


def annotated(net):
    def head(x):
        return tail(head.net, x)

    head.net = net
    return head


HOLDERS = {
    "closure": lambda net: lambda x: tail(net, x),
    "default": lambda net: lambda x, net=net: tail(net, x),
    "keyword": lambda net: lambda x, *, parts=(net,): tail(parts[0], x),
    "global": lambda net: eval("lambda x: [tail(net, x) for _ in '.'][0]", globals() | {"net": net}),
    "global method": lambda net: eval("lambda x: run(x)", {"run": Holder(net).run}),
    "recursive": recursive,
    "partial": lambda net: partial(tail, net),
    "partial of a method": lambda net: partial(lambda f, x: f(x), Holder(net).run),
    "object": Holder,
    "method": lambda net: Holder(net).run,
    "dict in an object": lambda net: Holder({"net": [net]}),
    "objects within each other": lambda net: Holder([Holder((net,))]),
    "deque": lambda net: partial(Quiet.run, Quiet(deque([net]))),
    "lambda of a method": lambda net: (lambda run: lambda x: run(x))(Quiet([net]).run),
    "function as a method": lambda net: types.MethodType(tail, net),
    "attribute of a function": annotated,
}


@pytest.mark.parametrize("head", HOLDERS.values(), ids=HOLDERS)
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
def test_dropout_that_stays_in_training_mode_is_rejected(call, holder, model, images, assert_close):
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
    forward = lambda self, x: tail(self, self.parts[0](self.middle(self.stem(x))))  # noqa: E731
    model.forward = types.MethodType(forward, model)
    assert_close(explain(model, images), expected)
    assert part.training
    assert part[0].num_batches_tracked == 0


def test_hooks_of_the_model_write_where_they_wrote_before(model, images):
    seen = []
    model.drop.register_forward_hook(lambda *_: seen.append(model.training))
    explain(model.train(), images)
    assert seen == [False]


IMAGES = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
SAME = {
    "float64": IMAGES.astype(np.float64),
    "float64 tensor": torch.from_numpy(IMAGES).double(),
    "long double": IMAGES.astype(np.longdouble),
    "big-endian": IMAGES.astype(">f4"),
    "negative strides": IMAGES[..., ::-1].copy()[..., ::-1],
    "Fortran order": np.asfortranarray(IMAGES),
    "read-only": np.broadcast_to(IMAGES, IMAGES.shape),
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_images_of_any_precision_and_memory_layout_are_those_of_float32(given, model):
    np.testing.assert_array_equal(predict_logits(model, given), predict_logits(model, IMAGES))
    np.testing.assert_array_equal(explain(model, given), explain(model, torch.from_numpy(IMAGES)))


def test_half_precision_of_images_and_model_is_understood(model):
    half = torch.from_numpy(IMAGES).half()
    np.testing.assert_array_equal(predict_logits(model, half), predict_logits(model, half.float().numpy()))
    assert np.isfinite(predict_logits(model.bfloat16(), IMAGES)).all()
    assert np.isfinite(explain(model, IMAGES)).all()


def test_parametrized_and_compiled_models_give_the_same_maps(model, images, assert_close):
    expected = explain(model, images)
    assert_close(explain(torch.compile(model, backend="eager"), images), expected)
    model.stem = torch.compile(model.stem, backend="eager")
    assert_close(explain(model, images, layers="deep"), expected[:, 2:])
    nn.utils.parametrizations.weight_norm(model.middle[0])
    assert_close(explain(model, images, layers="deep"), expected[:, 2:])


def test_model_without_parameters_is_explained(images):
    model = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert explain(model, images, layers="0", method="gradcam").shape == (5, 1, 12, 16)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_torchscript_is_rejected(model, images):
    with pytest.raises(ValueError, match="TorchScript"):
        explain(torch.jit.trace(model, images), images, layers="deep")
