"""A page that classifies pictures, shows where the model looked and what it gets wrong; and an API of the same.

The parts that need no page are listed here; `cifar_space.ui` brings them to the browser.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_space.artifacts.examples import example_paths
    from cifar_space.artifacts.files import ServedFiles, built_in, of_run, of_weights
    from cifar_space.artifacts.model_facts import USE, Calibration, Facts, gather_facts
    from cifar_space.artifacts.report_files import FIGURES, Figure, Report, read_report
    from cifar_space.service.answers import Answer, Prediction, Refusal
    from cifar_space.service.memory import ArrayMemory
    from cifar_space.service.misclassified import Misclassified
    from cifar_space.service.misclassified_page import (
        ANY,
        ORDERS,
        PAGE_SIZE,
        MisclassifiedImage,
        MisclassifiedOptions,
        MisclassifiedPage,
    )
    from cifar_space.service.requests import PREDICTED, Limits, Options, RequestError, check_options
    from cifar_space.service.service import Service, load_service
    from cifar_space.service.uploads import PictureError, read_picture

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
    "ANY": "service.misclassified_page",
    "FIGURES": "artifacts.report_files",
    "ORDERS": "service.misclassified_page",
    "PAGE_SIZE": "service.misclassified_page",
    "PREDICTED": "service.requests",
    "USE": "artifacts.model_facts",
    "Answer": "service.answers",
    "ArrayMemory": "service.memory",
    "Calibration": "artifacts.model_facts",
    "Facts": "artifacts.model_facts",
    "Figure": "artifacts.report_files",
    "Limits": "service.requests",
    "Misclassified": "service.misclassified",
    "MisclassifiedImage": "service.misclassified_page",
    "MisclassifiedOptions": "service.misclassified_page",
    "MisclassifiedPage": "service.misclassified_page",
    "Options": "service.requests",
    "PictureError": "service.uploads",
    "Prediction": "service.answers",
    "Refusal": "service.answers",
    "Report": "artifacts.report_files",
    "RequestError": "service.requests",
    "ServedFiles": "artifacts.files",
    "Service": "service.service",
    "built_in": "artifacts.files",
    "check_options": "service.requests",
    "example_paths": "artifacts.examples",
    "gather_facts": "artifacts.model_facts",
    "load_service": "service.service",
    "of_run": "artifacts.files",
    "of_weights": "artifacts.files",
    "read_picture": "service.uploads",
    "read_report": "artifacts.report_files",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command's --help, and its refusals, must not wait for torch.
    if name in _HOMES:
        return getattr(import_module(f"cifar_space.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
