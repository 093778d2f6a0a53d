"""Arguments that `explain` rejects: the error says what is wrong and what is allowed."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar_explain import Versus, explain

NET = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
).eval()
GOOD = torch.ones(2, 3, 8, 8)
NAN = GOOD.clone()
NAN[1, 2, 3, 4] = torch.nan


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (NAN, "finite, but image 1"),
        (GOOD[:0], r"at least one of each, got \(0, 3, 8, 8\)"),
        (GOOD[0], r"\(N, C, H, W\).* got \(3, 8, 8\)"),
        (GOOD.to(torch.uint8), "floating point.*uint8"),
        (GOOD.bool().numpy(), "floating point.*bool"),
        ([[0.0]], "dense tensor or array.*list"),
        (GOOD.to_sparse(), "dense tensor or array.*sparse_coo"),
        (np.ma.masked_greater(GOOD.numpy(), 0), "dense tensor or array.*MaskedArray"),
    ],
)
def test_images_that_do_not_fit_are_rejected(images, message):
    with pytest.raises(ValueError, match=message):
        explain(NET, images, layers="0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": "01"}, "unknown name '01'; did you mean '1' or '0'.*known: '0', '1', '2'"),
        ({"layers": None}, "no cam_layers; known: '0'"),
        ({"layers": []}, "layers is empty"),
        ({"layers": ["0", "0"]}, "'0' twice"),
        ({"layers": nn.ReLU()}, r"ReLU\(\) \(ReLU\), not part of the model"),
        ({"layers": [3]}, r"3 \(int\), not part of the model"),
        ({"layers": "2"}, r"'2' has no spatial extent.*\(2, 4, 1, 1\)"),
        ({"layers": "3"}, r"'3' must return \(2, channels, h, w\), but returns \(2, 4\)"),
        ({"method": "grad-cam"}, "method is 'grad-cam'; did you mean 'gradcam'"),
        ({"target": 3}, "target must be a class name or an index from 0 to 2, got 3"),
        ({"target": True}, "from 0 to 2, got True"),
        ({"target": [0, 1, 2]}, "one for each of 2 images"),
        ({"target": [0, 7]}, r"target\[1\] must be .*got 7"),
        ({"target": np.array([0, 7])}, "number 1 is 7"),
        ({"target": np.array([0.0, 1.0])}, "whole numbers, got float64"),
        ({"target": "cat"}, "class_names is not given"),
        ({"target": "cot", "class_names": ["cat", "dog", "ship"]}, "did you mean 'cat'"),
        ({"target": "cat", "class_names": ["cat", "dog"]}, "3 different names"),
        ({"target": Versus(1, [0, 1])}, "both class 1 for image 1"),
        ({"target": Versus(0, 9)}, "against must be"),
    ],
)
def test_arguments_that_do_not_fit_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        explain(NET, GOOD, **{"layers": "0", **arguments})


class Shaped(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.change = change

    def forward(self, x):
        return self.change(self.conv(x))


class Second(nn.Module):
    def forward(self, pair):
        return pair[0].mean((2, 3))


RELU = nn.ReLU()
TWICE = nn.Sequential(nn.Conv2d(3, 4, 3), RELU, nn.Conv2d(4, 4, 3), RELU, nn.Flatten())
PAIR = nn.Sequential(nn.MaxPool2d(2, return_indices=True), Second())
NEVER = Shaped(lambda x: x.mean((2, 3)))
NEVER.extra = RELU
LOST = Shaped(lambda x: x.mean((2, 3)))
LOST.cam_layers = {"conv": LOST.conv, "lost": LOST.conv.forward}


@pytest.mark.parametrize(
    ("model", "layers", "message"),
    [
        (Shaped(lambda x: x), "conv", r"logits \(2, K\) .* returns \(2, 4, 6, 6\)"),
        (Shaped(lambda x: x.mean((2, 3))[:, :0]), "conv", r"logits \(2, K\) .* returns \(2, 0\)"),
        (Shaped(lambda x: (x.mean((2, 3)), x)), "conv", "but returns tuple"),
        (Shaped(lambda x: x.mean((2, 3)) / 0), "conv", "finite floating-point logits"),
        (Shaped(lambda x: x.mean((2, 3)).long()), "conv", "finite floating-point logits"),
        (Shaped(lambda x: x.mean((2, 3)).detach()), "conv", "does not depend on layer 'conv'"),
        # The slope of the square root is infinite at 0.
        (Shaped(lambda x: (x.mean((2, 3)) * 0).sqrt()), "conv", "no finite map of layer 'conv'"),
        (PAIR, "0", r"'0' must return .* but returns tuple"),
        (LOST, None, r"layers has 'lost' \(method\), not part of the model"),
        (TWICE, "1", "'1' runs 2 times"),
        (NEVER, "extra", "'extra' runs 0 times"),
        (lambda x: x, "0", "must be a torch.nn.Module, got function"),
    ],
)
def test_models_that_cannot_be_explained_are_rejected(model, layers, message):
    with pytest.raises(ValueError, match=message):
        explain(model, GOOD, layers=layers, target=0)


def test_eigencam_of_activations_that_are_not_finite_is_rejected():
    model = Shaped(lambda x: x.isnan().float().mean((2, 3)))
    nn.init.constant_(model.conv.bias, torch.nan)
    with pytest.raises(ValueError, match="'eigencam' gives no finite map of layer 'conv'"):
        explain(model, GOOD, layers="conv", method="eigencam")
