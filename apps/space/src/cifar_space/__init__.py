"""A page that classifies pictures, shows where the model looked and what it gets wrong; and an API of the same.

The parts that need no page are listed here; `cifar_space.ui` and `cifar_space.server` bring them to the browser.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_space.answers import Answer, Prediction, Refusal
    from cifar_space.examples import example_paths
    from cifar_space.facts import USE, Calibration, Facts, gather_facts
    from cifar_space.memory import ArrayMemory
    from cifar_space.misclassified import Misclassified
    from cifar_space.misclassified_page import (
        ANY,
        ORDERS,
        PAGE_SIZE,
        MisclassifiedImage,
        MisclassifiedOptions,
        MisclassifiedPage,
    )
    from cifar_space.options import PREDICTED, Limits, Options, RequestError, check_options
    from cifar_space.pictures import PictureError, read_picture
    from cifar_space.report_files import FIGURES, Figure, Report, read_report
    from cifar_space.served import ServedFiles, built_in, of_run, of_weights
    from cifar_space.service import Service, load_service

__all__ = [
    "ANY",
    "FIGURES",
    "ORDERS",
    "PAGE_SIZE",
    "PREDICTED",
    "USE",
    "Answer",
    "ArrayMemory",
    "Calibration",
    "Facts",
    "Figure",
    "Limits",
    "Misclassified",
    "MisclassifiedImage",
    "MisclassifiedOptions",
    "MisclassifiedPage",
    "Options",
    "PictureError",
    "Prediction",
    "Refusal",
    "Report",
    "RequestError",
    "ServedFiles",
    "Service",
    "built_in",
    "check_options",
    "example_paths",
    "gather_facts",
    "load_service",
    "of_run",
    "of_weights",
    "read_picture",
    "read_report",
]

_HOMES = {
    "ANY": "misclassified_page",
    "FIGURES": "report_files",
    "ORDERS": "misclassified_page",
    "PAGE_SIZE": "misclassified_page",
    "PREDICTED": "options",
    "USE": "facts",
    "Answer": "answers",
    "ArrayMemory": "memory",
    "Calibration": "facts",
    "Facts": "facts",
    "Figure": "report_files",
    "Limits": "options",
    "Misclassified": "misclassified",
    "MisclassifiedImage": "misclassified_page",
    "MisclassifiedOptions": "misclassified_page",
    "MisclassifiedPage": "misclassified_page",
    "Options": "options",
    "PictureError": "pictures",
    "Prediction": "answers",
    "Refusal": "answers",
    "Report": "report_files",
    "RequestError": "options",
    "ServedFiles": "served",
    "Service": "service",
    "built_in": "served",
    "check_options": "options",
    "example_paths": "examples",
    "gather_facts": "facts",
    "load_service": "service",
    "of_run": "served",
    "of_weights": "served",
    "read_picture": "pictures",
    "read_report": "report_files",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command's --help, and its refusals, must not wait for torch.
    if name in _HOMES:
        return getattr(import_module(f"cifar_space.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
