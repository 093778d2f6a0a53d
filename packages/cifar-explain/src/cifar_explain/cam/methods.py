"""pytorch-grad-cam's methods, run on activations and gradients that were recorded before."""

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.inference import hooked
from cifar_explain.validation import check_choice

#: The names of the methods, and the classes of pytorch_grad_cam that compute them.
_CLASSES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}

#: Methods that `explain` knows. The last two run the model once per channel and are slow.
METHODS: tuple[str, ...] = tuple(_CLASSES)

_WITHOUT_GRADIENTS = frozenset({"eigencam", "scorecam", "ablationcam"})
# Channels per forward pass, as set inside pytorch_grad_cam.
_CHANNELS_PER_STEP = {"scorecam": 16, "ablationcam": 32}


def check_method(method: str) -> str:
    """Return the name of a method if it is one of `METHODS`.

    Raises:
        ValueError: If it is not, with the nearest valid names.

    >>> check_method("hirescam")
    'hirescam'
    """
    return check_choice("method", method, METHODS)


def uses_gradients(method: str) -> bool:
    """Tell whether a method needs a backward pass.

    >>> uses_gradients("gradcam"), uses_gradients("eigencam")
    (True, False)
    """
    return check_method(method) not in _WITHOUT_GRADIENTS


def step_count(method: str, *, images: int, channels: int) -> int:
    """Return how many times a method reports progress for one layer.

    >>> step_count("gradcam", images=4, channels=64), step_count("scorecam", images=4, channels=65)
    (1, 20)
    """
    per_step = _CHANNELS_PER_STEP.get(check_method(method))
    return 1 if per_step is None else images * -(-channels // per_step)


def layer_map(
    method: str,
    view: nn.Module,
    *,
    layer: nn.Module,
    images: Tensor,
    scores: Sequence[Callable[[Tensor], Tensor]],
    activations: NDArray[np.float32],
    gradients: NDArray[np.float32] | None,
    step: Callable[[], None],
) -> NDArray[np.float32]:
    """Return one layer's maps `(N, H, W)` in [0, 1], as pytorch-grad-cam makes them.

    Args:
        method: One of `METHODS`.
        view: A private view of the model, in which `layer` may be replaced for a while.
        layer: The layer, a module of `view`.
        images: What the model was given, `(N, C, H, W)`.
        scores: For each image what is to be explained, a function of its logits `(K,)`.
        activations: The layer's output `(N, channels, h, w)`.
        gradients: The sum of the scores differentiated by the layer's output, or None where not needed.
        step: Called `step_count` times.
    """
    scale = _library().utils.image.scale_cam_image
    host = _Host(view, layer, images)
    cam = getattr(_library(), _CLASSES[method])(host, [], **_arguments(method))
    if method in _CHANNELS_PER_STEP:
        _report_steps(cam, step)
    # ScoreCAM holds a copy of each image per channel, so it gets one image at a time.
    parts = [slice(i, i + 1) for i in range(len(images))] if method == "scorecam" else [slice(None)]
    with np.errstate(all="ignore"):
        maps = np.concatenate(
            [
                cam.get_cam_image(
                    images[part], layer, scores[part], activations[part],
                    None if gradients is None else gradients[part], False,
                )
                for part in parts
            ]
        )  # fmt: skip
        # Scaled, resized and scaled again, since interpolation flattens peaks.
        maps = scale(scale(np.maximum(maps, 0), tuple(images.shape[:-3:-1])))
    if method not in _CHANNELS_PER_STEP:
        step()
    return maps


@functools.cache
def _library() -> Any:
    # Imported when first needed: it brings scikit-learn, OpenCV and torchvision, which take seconds.
    importlib.import_module("pytorch_grad_cam.utils.image")
    return importlib.import_module("pytorch_grad_cam")


def _arguments(method: str) -> dict[str, Any]:
    # The default of AblationCAM is one object that all callers in the process would share.
    return {"ablation_layer": _library().AblationLayer()} if method == "ablationcam" else {}


def _report_steps(cam: Any, step: Callable[[], None]) -> None:
    """Let `cam` call `step` where it would draw a progress bar on the terminal."""

    def counted(items: Iterable[int]) -> Iterator[int]:
        for item in items:
            yield item
            step()

    function = type(cam).get_cam_weights
    # The library's own code with another `tqdm` in its globals: nothing that other threads see is patched.
    namespace = {**function.__globals__, "tqdm": SimpleNamespace(tqdm=counted)}
    cam.get_cam_weights = MethodType(FunctionType(function.__code__, namespace), cam)


class _Host(nn.Module):
    """The model as pytorch-grad-cam wants it: with a parameter, and with one place to swap the layer.

    AblationCAM replaces the first attribute that holds the layer. If the model lists the layer twice, that
    may not be the one that runs; here it is always `layer`, and a hook brings its output into the model.
    """

    def __init__(self, view: nn.Module, layer: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.device_anchor = nn.Parameter(images.new_empty(0), requires_grad=False)
        self.layer = layer
        self.view = view
        self.original = [layer]

    def forward(self, images: Tensor) -> Tensor:
        if self.layer is self.original[0]:
            return self.view(images)
        with hooked({self.original[0]: lambda *_: self.layer(images)}):
            return self.view(images)
