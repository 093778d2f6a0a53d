"""Arguments that the package rejects: the error says what is wrong and what is allowed."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import cifar_explain as ce

GOOD = torch.ones(2, 3, 8, 8)
NAN = GOOD.clone()
NAN[1, 2, 3, 4] = torch.nan
RELU = nn.ReLU()
NET = nn.Sequential(nn.Conv2d(3, 4, 3), RELU, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
TWICE = nn.Sequential(nn.Conv2d(3, 4, 3), RELU, nn.Conv2d(4, 4, 3), RELU, nn.Flatten())
BROKEN = nn.Conv2d(3, 4, 3)
nn.init.constant_(BROKEN.bias, torch.nan)

explained = partial(ce.explain, model=NET, images=GOOD, layers="0", target=0)


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


EXPLAIN = [
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
    ({"target": ce.Versus(1, [0, 1])}, "both class 1 for image 1"),
    ({"target": ce.Versus(0, 9)}, "against must be"),
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
]

TWO = [[0.9, 0.1], [0.2, 0.8]]
ERRORS = ce.find_errors(np.tile([[0.8, 0.1, 0.1]], (3, 1)), [1, 2, 1], class_names=["cat", "dog", "frog"])
PHOTOS, HEAT = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((4, 4))
CHANCE, GRADCAM = (ce.Faithfulness(name, "conv", (4, 4), np.ones(3)) for name in (ce.RANDOM, "gradcam"))
DETECTOR = ce.OODDetector(1.5, 0.4, -2.0, 0.05, 500)

evaluated = partial(ce.evaluate, model=NET, images=GOOD, labels=[0, 0])
measured = partial(ce.measure_faithfulness, NET, GOOD, layers="0")
found = partial(ce.find_errors, probabilities=TWO, labels=[0, 1])
ranked, filtered, sampled = ERRORS.ranked, ERRORS.filtered, ERRORS.sample
drawn = partial(ce.plot_errors, errors=ERRORS, images=PHOTOS)
laid = partial(ce.overlay, image=PHOTOS[0], heat=HEAT)
judged = partial(ce.judge_errors, ERRORS)
kept = partial(ce.make_gallery, TWO[:1], [0], images=PHOTOS[:1], class_names="ab", weights_sha256=64 * "0")
fitted = partial(ce.fit_ood_detector, [[0, 1]], labels=[0])


def restored(**fields):
    return ce.OODDetector.from_dict(DETECTOR.to_dict() | fields)


OTHERS = [
    (evaluated, {"labels": [0]}, "labels must be 2"),
    (evaluated, {"labels": [0, 3]}, "from 0 to 2, but number 1 is 3"),
    (evaluated, {"images": GOOD[:0], "labels": []}, "at least one, got none"),
    (evaluated, {"batch_size": 0}, "batch_size"),
    (evaluated, {"images": NAN}, "image 1 has NaN"),
    (evaluated, {"model": BROKEN}, r"logits \(2, K\)"),
    (measured, {"methods": []}, "at least one, each once"),
    (measured, {"methods": ["gradcam", "gradcam"]}, "each once"),
    (measured, {"methods": ["grad"]}, "did you mean"),
    (measured, {"percentiles": []}, "percentiles must be"),
    (measured, {"percentiles": [0]}, "between 0 and 100"),
    (measured, {"percentiles": [50, 100]}, "between 0 and 100"),
    (measured, {"seed": -1}, "seed must be"),
    (found, {"probabilities": [[0.9, 0.2]]}, "sum to 1, but row 0"),
    (found, {"probabilities": [[np.nan, 1]]}, "row 0 is"),
    (found, {"probabilities": np.zeros((0, 2))}, "at least one of each"),
    (found, {"class_names": "ab"}, "2 different names, got 'ab'"),
    (found, {"labels": [0, 2]}, "number 1 is 2"),
    (ranked, {"by": "los"}, "did you mean 'loss'"),
    (filtered, {"true": 3}, "true must be .* got 3"),
    (filtered, {"predicted": "do"}, "'dog'"),
    (sampled, {"count": -1}, "count must be"),
    (ce.confusion_matrix, {"labels": [0, 1], "predictions": [0], "classes": 2}, "predictions must be 2"),
    (ce.confusion_matrix, {"labels": [0, 1], "predictions": [0, 5], "classes": 2}, "number 1 is 5"),
    (ce.class_reports, {"confusion": np.zeros((2, 3), int)}, r"\(K, K\)"),
    (ce.most_confused, {"confusion": np.array([[-1]])}, "at least 0"),
    (ce.top_k_accuracy, {"probabilities": TWO, "labels": [0, 1], "k": 3}, "from 1 to 2"),
    (ce.reliability_curve, {"probabilities": TWO, "labels": [0, 1], "bins": 0}, "bins must be"),
    (ce.apply_temperature, {"probabilities": TWO, "temperature": 0}, "temperature must be a number greater"),
    (ce.find_theme, {"name": "drak"}, "theme is 'drak'; did you mean 'dark'"),
    (ce.plot_confusion, {"matrix": np.zeros((2, 3), int)}, r"whole numbers \(K, K\)"),
    (ce.plot_confusion, {"matrix": np.eye(2, dtype=int), "class_names": ["a"]}, "2 different names"),
    (ce.plot_classes, {"reports": []}, "reports must be at least one"),
    (ce.plot_faithfulness, {"rows": []}, "rows must be at least one"),
    (ce.plot_faithfulness, {"rows": [GRADCAM]}, "rows must have random maps once .* layer 'conv'"),
    (ce.plot_faithfulness, {"rows": [CHANCE]}, "at least one method for layer 'conv'"),
    (drawn, {"errors": ERRORS.take(slice(0, 0)), "images": PHOTOS[:0]}, "from 1 to 100, got 0"),
    (drawn, {"images": PHOTOS[1:]}, r"images must be uint8 \(3, H, W, 3\), got uint8 \(2,"),
    (drawn, {"true_maps": HEAT}, "maps must be given with true_maps"),
    (drawn, {"maps": np.zeros((3, 2, 4, 4)), "layers": ["conv"]}, r"maps must be \(3, 1, h, w\)"),
    (laid, {"opacity": 1.01}, "opacity must be .* got 1.01"),
    (laid, {"opacity": "0.5"}, "got '0.5'"),
    (laid, {"colormap": "infernal"}, "did you mean 'inferno'"),
    (laid, {"scale": 0}, "scale must be .* got 0"),
    (laid, {"image": PHOTOS[0] / 255}, "got float64"),
    (laid, {"image": PHOTOS[0, :0]}, r"got uint8 \(0, 4, 3\)"),
    (laid, {"heat": HEAT + 2}, r"in \[0, 1\], got values from 2.0 to 2.0"),
    (laid, {"heat": HEAT * np.nan}, "got values from nan"),
    (laid, {"heat": HEAT[0]}, r"\(h, w\)"),
    (judged, {}, "got neither"),
    (judged, {"counts": np.ones((3, 2))}, r"\(3, 3\), got float64 \(3, 2\)"),
    (judged, {"counts": np.ones((2, 3))}, "counts has 2 images, but image 2"),
    (judged, {"counts": -np.ones((3, 3))}, "row 0"),
    (judged, {"counts": np.zeros((3, 3))}, "some for each image; row 0"),
    (judged, {"counts": np.full((3, 3), np.inf)}, "row 0"),
    (judged, {"rechecks": {0: ce.Recheck(2, 0, 1, 1, 1, 1)}}, "image 0 has label 1, but .*given=2"),
    (kept, {"images": PHOTOS[:2]}, r"uint8 \(1, H, W, 3\), got uint8 \(2, 4, 4, 3\)"),
    (kept, {"images": np.zeros((1, 4, 4, 4), np.uint8)}, r"got uint8 \(1, 4, 4, 4\)"),
    (kept, {"weights_sha256": "x" * 64}, "64 hexadecimal digits"),
    (restored, {"temperature": 0}, "temperature must be a number greater than 0 and finite, got 0"),
    (restored, {"lowest_confidence": 1.1}, "lowest_confidence must be a number from 0 to 1, got 1.1"),
    (restored, {"highest_energy": math.nan}, "highest_energy must be a number that is finite, got nan"),
    (restored, {"false_alarm_rate": 1}, "false_positive_rate must be .* less than 1, got 1"),
    (restored, {"images": 0}, "images must be a whole number of at least 1, got 0"),
    (restored, {"temprature": 1.0}, "must be a mapping of temperature, lowest_confidence, .* temprature"),
    (ce.OODDetector.from_dict, {"fields": [1.0]}, "must be a mapping of .*, got list"),
    (DETECTOR.is_ood, {"logits": [[0, 1], [np.inf, 0]]}, "row 1 has NaN or infinity"),
    (ce.energy_scores, {"logits": [1.0, 2.0]}, r"\(N, K\), .* got float64 \(2,\)"),
    (ce.energy_scores, {"logits": [[1.0]]}, "K at least 2"),
    (fitted, {"labels": [2]}, "labels must be from 0 to 1"),
    (fitted, {"false_positive_rate": 1}, "false_positive_rate must be"),
]


@pytest.mark.parametrize(("call", "options", "message"), [*((explained, *case) for case in EXPLAIN), *OTHERS])
def test_arguments_that_do_not_fit_are_rejected(call, options, message):
    with pytest.raises(ValueError, match=message):
        call(**options)
