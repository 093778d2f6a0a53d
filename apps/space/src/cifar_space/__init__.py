"""A web app and API that classify images, show class activation maps, and list a model's errors.

The parts that need no page are listed here; `cifar_space.ui` brings them to the browser.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "artifacts.files": (
        "FIGURES", "Figure", "Report", "ServedFiles", "built_in", "example_paths", "of_run", "of_weights",
        "read_report",
    ),
    "artifacts.model_facts": ("USE", "Calibration", "Facts", "gather_facts"),
    "service.misclassified": ("Misclassified",),
    "service.requests": (
        "ANY", "ORDERS", "PAGE_SIZE", "PREDICTED", "Answer", "Limits", "MisclassifiedImage", "MisclassifiedOptions",
        "MisclassifiedPage", "Options", "Prediction", "RejectedFile", "RequestError", "check_options",
    ),
    "service.service": ("Service", "load_service"),
    "service.uploads": ("PictureError", "read_picture"),
}  # fmt: skip

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command's --help and its error messages must not wait for torch.
    name = {"Refusal": "RejectedFile"}.get(name, name)  # its former name
    if name in _HOME_OF:
        return getattr(import_module(f"cifar_space.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
