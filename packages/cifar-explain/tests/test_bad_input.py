"""Arguments that `explain` rejects: the error says what is wrong and what is allowed."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar_explain import Versus, explain

GOOD = torch.ones(2, 3, 8, 8)
NAN = GOOD.clone()
NAN[1, 2, 3, 4] = torch.nan
RELU = nn.ReLU()
NET = nn.Sequential(nn.Conv2d(3, 4, 3), RELU, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
TWICE = nn.Sequential(nn.Conv2d(3, 4, 3), RELU, nn.Conv2d(4, 4, 3), RELU, nn.Flatten())
BROKEN = nn.Conv2d(3, 4, 3)
nn.init.constant_(BROKEN.bias, torch.nan)


class Shaped(nn.Module):
    """A layer, and any function of its output."""

    def __init__(self, change, **parts):
        super().__init__()
        self.change = change
        for name, part in {"conv": nn.Conv2d(3, 4, 3), **parts}.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.change(self.conv(x))


def shaped(change, layers="conv", **parts):
    return {"model": Shaped(change, **parts), "layers": layers}


def mean(x):
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": NAN}, "finite, but image 1"),
        ({"images": GOOD[:0]}, r"at least one of each, got \(0, 3, 8, 8\)"),
        ({"images": GOOD[0]}, r"\(N, C, H, W\).* got \(3, 8, 8\)"),
        ({"images": GOOD.to(torch.uint8)}, "floating point.*uint8"),
        ({"images": GOOD.bool().numpy()}, "floating point.*bool"),
        ({"images": [[0.0]]}, "dense tensor or array.*list"),
        ({"images": GOOD.to_sparse()}, "dense tensor or array.*sparse_coo"),
        ({"images": np.ma.masked_greater(GOOD.numpy(), 0)}, "dense tensor or array.*MaskedArray"),
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
        (shaped(lambda x: x), r"logits \(2, K\) .* returns \(2, 4, 6, 6\)"),
        (shaped(lambda x: mean(x)[:, :0]), r"logits \(2, K\) .* returns \(2, 0\)"),
        (shaped(lambda x: (mean(x), x)), "but returns tuple"),
        (shaped(lambda x: mean(x) / 0), "finite floating-point logits"),
        (shaped(lambda x: mean(x).long()), "finite floating-point logits"),
        (shaped(lambda x: mean(x).detach()), "does not depend on layer 'conv'"),
        # The slope of the square root is infinite at 0.
        (shaped(lambda x: (mean(x) * 0).sqrt()), "no finite map of layer 'conv'"),
        (shaped(mean, None, cam_layers={"lost": mean}), r"'lost' \(function\), not part"),
        (shaped(mean, "extra", extra=RELU), "'extra' runs 0 times"),
        (shaped(lambda x: mean(x[0]), conv=nn.MaxPool2d(2, return_indices=True)), "'conv' must .* tuple"),
        ({"method": "eigencam"} | shaped(lambda x: mean(x.isnan().float()), conv=BROKEN), "no finite map"),
        ({"model": TWICE, "layers": "1"}, "'1' runs 2 times"),
        ({"model": lambda x: x}, "must be a torch.nn.Module, got function"),
    ],
)
def test_what_cannot_be_explained_is_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        explain(**{"model": NET, "images": GOOD, "layers": "0", "target": 0, **arguments})
