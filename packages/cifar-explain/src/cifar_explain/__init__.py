"""Class activation maps and misclassified images for any convolutional torch module.

Arguments that do not fit raise a `ValueError` that names the argument, its value and what is allowed.
"""

from typing import TypeAlias

from cifar_explain.cam.explain import explain
from cifar_explain.cam.faithfulness import PERCENTILES, RANDOM, Faithfulness, measure_faithfulness
from cifar_explain.cam.methods import METHODS
from cifar_explain.cam.overlay import heat_colours, overlay, upsample_image, upsample_map
from cifar_explain.cam.targets import Versus, find_layers
from cifar_explain.evaluation.calibration import (
    TEMPERATURES,
    ReliabilityCurve,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from cifar_explain.evaluation.errors import RANKINGS, Errors, find_errors
from cifar_explain.evaluation.evaluate import Evaluation, evaluate, predict_logits, predict_probabilities
from cifar_explain.evaluation.metrics import (
    ClassReport,
    ConfusedPair,
    class_reports,
    confusion_matrix,
    label_losses,
    most_confused,
    top_k_accuracy,
)
from cifar_explain.evaluation.ood import OODDetector, energy_scores, fit_familiarity, fit_ood_detector
from cifar_explain.gallery import Gallery, make_gallery, read_gallery, stored_images, write_gallery
from cifar_explain.human_labels import VERDICTS, HumanView, Recheck, judge_errors, read_counts, read_rechecks
from cifar_explain.plots.errors import plot_errors
from cifar_explain.plots.faithfulness import plot_faithfulness
from cifar_explain.plots.metrics import plot_classes, plot_confusion, plot_reliability
from cifar_explain.plots.style import (
    THEMES,
    Theme,
    add_legend,
    add_title,
    find_theme,
    make_figure,
    quiet_axes,
)

# Former names.
Familiarity: TypeAlias = OODDetector
enlarge_map, enlarge_photo = upsample_map, upsample_image

__all__ = ["METHODS", "Versus", "explain", "find_layers"]
__all__ += ["enlarge_map", "enlarge_photo", "heat_colours", "overlay", "upsample_image", "upsample_map"]
__all__ += ["PERCENTILES", "RANDOM", "Faithfulness", "measure_faithfulness"]
__all__ += ["Evaluation", "evaluate", "predict_logits", "predict_probabilities"]
__all__ += [
    "ClassReport",
    "ConfusedPair",
    "class_reports",
    "confusion_matrix",
    "label_losses",
    "most_confused",
]
__all__ += ["RANKINGS", "Errors", "find_errors", "top_k_accuracy"]
__all__ += ["TEMPERATURES", "ReliabilityCurve", "apply_temperature", "expected_calibration_error"]
__all__ += ["fit_temperature", "reliability_curve"]
__all__ += ["Familiarity", "OODDetector", "energy_scores", "fit_familiarity", "fit_ood_detector"]
__all__ += ["VERDICTS", "HumanView", "Recheck", "judge_errors", "read_counts", "read_rechecks"]
__all__ += ["Gallery", "make_gallery", "read_gallery", "stored_images", "write_gallery"]
__all__ += ["THEMES", "Theme", "add_legend", "add_title", "find_theme", "make_figure", "quiet_axes"]
__all__ += ["plot_classes", "plot_confusion", "plot_errors", "plot_faithfulness", "plot_reliability"]
