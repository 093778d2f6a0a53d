"""Class activation maps and misclassified images for any convolutional torch module.

Arguments that do not fit raise a `ValueError` that names the argument, its value and what is allowed.
"""

from typing import TypeAlias

from cifar_explain.cam.explain import METHODS, explain
from cifar_explain.cam.faithfulness import PERCENTILES, RANDOM, Faithfulness, measure_faithfulness
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
from cifar_explain.evaluation.ood import OODDetector, energy_scores, fit_ood_detector
from cifar_explain.gallery import Gallery, make_gallery, read_gallery, stored_images, write_gallery
from cifar_explain.human_labels import VERDICTS, HumanView, Recheck, judge_errors, read_counts, read_rechecks
from cifar_explain.plots.errors import plot_errors
from cifar_explain.plots.metrics import plot_classes, plot_confusion, plot_faithfulness, plot_reliability
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
fit_familiarity = fit_ood_detector
enlarge_map, enlarge_photo = upsample_map, upsample_image

__all__ = ["METHODS", "PERCENTILES", "RANDOM", "RANKINGS", "TEMPERATURES", "THEMES", "VERDICTS"]
__all__ += ["ClassReport", "ConfusedPair", "Errors", "Evaluation", "Faithfulness", "Familiarity", "Gallery"]
__all__ += ["HumanView", "OODDetector", "Recheck", "ReliabilityCurve", "Theme", "Versus", "add_legend"]
__all__ += ["add_title", "apply_temperature", "class_reports", "confusion_matrix", "energy_scores"]
__all__ += ["enlarge_map", "enlarge_photo", "evaluate", "expected_calibration_error", "explain"]
__all__ += ["find_errors", "find_layers", "find_theme", "fit_familiarity", "fit_ood_detector"]
__all__ += ["fit_temperature", "heat_colours", "judge_errors", "label_losses", "make_figure"]
__all__ += ["make_gallery", "measure_faithfulness", "most_confused", "overlay", "plot_classes"]
__all__ += ["plot_confusion", "plot_errors", "plot_faithfulness", "plot_reliability", "predict_logits"]
__all__ += ["predict_probabilities", "quiet_axes", "read_counts", "read_gallery", "read_rechecks"]
__all__ += ["reliability_curve", "stored_images", "top_k_accuracy", "upsample_image", "upsample_map"]
__all__ += ["write_gallery"]
