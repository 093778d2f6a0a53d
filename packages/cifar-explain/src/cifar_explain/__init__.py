"""Class activation maps and misclassified images for any convolutional torch module."""

from cifar_explain.calibration import (
    TEMPERATURES,
    ReliabilityCurve,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from cifar_explain.cam import explain
from cifar_explain.errors import RANKINGS, Errors, find_errors
from cifar_explain.evaluate import (
    Evaluation,
    evaluate,
    label_losses,
    predict_logits,
    predict_probabilities,
)
from cifar_explain.faithfulness import PERCENTILES, RANDOM, Faithfulness, measure_faithfulness
from cifar_explain.gallery import Gallery, make_gallery, stored_images
from cifar_explain.gallery_files import read_gallery, write_gallery
from cifar_explain.human import VERDICTS, HumanView, Recheck, judge_errors
from cifar_explain.human_files import read_counts, read_rechecks
from cifar_explain.layers import find_layers
from cifar_explain.methods import METHODS
from cifar_explain.metrics import (
    ClassReport,
    ConfusedPair,
    class_reports,
    confusion_matrix,
    most_confused,
    top_k_accuracy,
)
from cifar_explain.novelty import Familiarity, energy_scores, fit_familiarity
from cifar_explain.overlay import enlarge_map, enlarge_photo, heat_colours, overlay
from cifar_explain.targets import Versus

__all__ = [
    "METHODS",
    "PERCENTILES",
    "RANDOM",
    "RANKINGS",
    "TEMPERATURES",
    "VERDICTS",
    "ClassReport",
    "ConfusedPair",
    "Errors",
    "Evaluation",
    "Faithfulness",
    "Familiarity",
    "Gallery",
    "HumanView",
    "Recheck",
    "ReliabilityCurve",
    "Versus",
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
    "fit_familiarity",
    "fit_temperature",
    "heat_colours",
    "judge_errors",
    "label_losses",
    "make_gallery",
    "measure_faithfulness",
    "most_confused",
    "overlay",
    "predict_logits",
    "predict_probabilities",
    "read_counts",
    "read_gallery",
    "read_rechecks",
    "reliability_curve",
    "stored_images",
    "top_k_accuracy",
    "write_gallery",
]
