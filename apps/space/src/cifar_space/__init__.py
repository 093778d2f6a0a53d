"""A page that classifies pictures and shows where the model looked, with an API of the same name.

The parts that need no page are listed here; `cifar_space.ui` and `cifar_space.server` bring them to the browser.
"""

from cifar_space.examples import example_paths
from cifar_space.memory import ArrayMemory
from cifar_space.options import Limits, Options, RequestError, check_options
from cifar_space.pictures import PictureError, read_picture
from cifar_space.served import ServedFiles, built_in, of_run, of_weights
from cifar_space.service import Answer, Prediction, Refusal, Service, load_service

__all__ = [
    "Answer",
    "ArrayMemory",
    "Limits",
    "Options",
    "PictureError",
    "Prediction",
    "Refusal",
    "RequestError",
    "ServedFiles",
    "Service",
    "built_in",
    "check_options",
    "example_paths",
    "load_service",
    "of_run",
    "of_weights",
    "read_picture",
]
