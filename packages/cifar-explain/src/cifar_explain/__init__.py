"""Class activation maps and misclassified images for any convolutional torch module."""

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
from cifar_explain.human_labels import (
    VERDICTS,
    HumanView,
    Recheck,
    judge_errors,
    read_counts,
    read_rechecks,
)
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

__all__ = [
    "METHODS",
    "PERCENTILES",
    "RANDOM",
    "RANKINGS",
    "TEMPERATURES",
    "THEMES",
    "VERDICTS",
    "ClassReport",
    "ConfusedPair",
    "Errors",
    "Evaluation",
    "Faithfulness",
    "Familiarity",
    "Gallery",
    "HumanView",
    "OODDetector",
    "Recheck",
    "ReliabilityCurve",
    "Theme",
    "Versus",
    "add_legend",
    "add_title",
    "apply_temperature",
    "class_reports",
    "confusion_matrix",
    "energy_scores",
    "enlarge_map",
    "enlarge_photo",
    "evaluate",
    "expected_calibration_error",
    "explain",
    "find_errors",
    "find_layers",
    "find_theme",
    "fit_familiarity",
    "fit_ood_detector",
    "fit_temperature",
    "heat_colours",
    "judge_errors",
    "label_losses",
    "make_figure",
    "make_gallery",
    "measure_faithfulness",
    "most_confused",
    "overlay",
    "plot_classes",
    "plot_confusion",
    "plot_errors",
    "plot_faithfulness",
    "plot_reliability",
    "predict_logits",
    "predict_probabilities",
    "quiet_axes",
    "read_counts",
    "read_gallery",
    "read_rechecks",
    "reliability_curve",
    "stored_images",
    "top_k_accuracy",
    "upsample_image",
    "upsample_map",
    "write_gallery",
]
