"""Class activation maps of several layers from one forward and one backward pass."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cifar_explain.cam.targets import Classes, Layer, Versus, find_layers, resolve_target, score
from cifar_explain.inference import EvaluationMode, as_inputs_of, private_view
from cifar_explain.validation import as_images, as_logits, check_choice

# The names of the methods, and the classes of pytorch_grad_cam that compute them.
_CLASSES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "eigencam": "EigenCAM",
}

#: Methods that `explain` knows.
METHODS: tuple[str, ...] = tuple(_CLASSES)

# torch numbers hooks with one counter for the process, whose increment is not atomic; two hooks with the same
# number on one layer would replace each other.
_HOOK_NUMBERS = threading.Lock()


def explain(
    model: nn.Module,
    images: Tensor | NDArray[np.floating],
    *,
    layers: Layer | Sequence[Layer] | None = None,
    method: str = "gradcam",
    target: Classes | Versus = "predicted",
    class_names: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Returns maps `(N, L, H, W)` in [0, 1] of where each of L layers sees evidence for the target.

    The maps are those of pytorch-grad-cam called once for each layer, but all layers share one forward and
    one backward pass. Each map is scaled to its own least and greatest value: maps tell where, not how much. A
    map without any positive evidence is zero everywhere.

    The model is run in evaluation mode and stays as it is. Several threads may explain one model at once, under
    `torch.no_grad()` and `torch.inference_mode()` too.

    Args:
        model: Any module with spatial layers that gives logits `(N, K)`.
        images: Images `(N, C, H, W)`, normalised as the model expects, of any device and precision.
        layers: Names or modules, as in `find_layers`; None for all of `model.cam_layers`.
        method: One of `METHODS`; "eigencam" ignores the target.
        target: "predicted", one class by name or index, a class for each image, or `Versus(one, another)`.
        class_names: The K names, for classes given by name.

    Raises:
        ValueError: If a layer does not run exactly once, has no spatial output, or does not lead to the output;
            the model does not return finite logits; or a map is not finite.

    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> explain(model, torch.zeros(2, 3, 16, 16), layers=["0", "1"], target=3).shape
    (2, 2, 16, 16)
    """
    check_choice("method", method, METHODS)
    originals = find_layers(model, layers)
    differentiated = method != "eigencam"
    # A caller's inference mode would forbid the backward pass; views and clones must be made outside it.
    with torch.inference_mode(False), torch.enable_grad():
        view, copies = private_view(model)
        inputs = as_inputs_of(view, as_images(images))
        viewed = {name: copies[id(layer)] for name, layer in originals.items()}
        logits, outputs = run_layers(view, inputs, viewed, with_graph=differentiated)
        total = score(logits, resolve_target(target, logits.detach(), class_names)).sum()
        gradients: Sequence[Tensor | None] = [None] * len(outputs)
        if differentiated and total.requires_grad:
            gradients = torch.autograd.grad(total, list(outputs.values()), allow_unused=True)
    height, width = inputs.shape[2:]
    maps = np.empty((len(inputs), len(outputs), height, width), np.float32)
    for number, (name, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        if differentiated and gradient is None:
            raise ValueError(f"the model's output does not depend on layer {name!r} in a differentiable way")
        maps[:, number] = layer_maps(method, outputs[name], gradient, size=(height, width))
        if not np.isfinite(maps[:, number]).all():
            raise ValueError(f"method {method!r} gives no finite map of layer {name!r} for these images")
    return maps


def run_layers(
    view: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], *, with_graph: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the logits `(N, K)` and each layer's output `(N, channels, h, w)` from one forward pass of a view.

    With a graph, which begins at the first of the layers, the logits can be differentiated by the outputs.
    """
    runs: dict[nn.Module, list[Any]] = {layer: [] for layer in layers.values()}

    def record(layer: nn.Module, inputs: Any, output: Any) -> Any:
        is_tensor = isinstance(output, Tensor)
        if is_tensor and with_graph and output.is_floating_point() and not output.requires_grad:
            output = output.detach().requires_grad_()
        runs[layer].append(output)
        # What runs next may change its input in place; the record keeps what the layer returned.
        return output.clone() if is_tensor else output

    with torch.set_grad_enabled(with_graph), EvaluationMode(), ExitStack() as hooks:
        with _HOOK_NUMBERS:
            for layer in runs:
                hooks.callback(layer.register_forward_hook(record).remove)
        logits = view(images)
    outputs = {name: _spatial(name, runs[layer], len(images)) for name, layer in layers.items()}
    return as_logits(logits, len(images)), outputs


def _spatial(name: str, outputs: list[Any], count: int) -> Tensor:
    if len(outputs) != 1:
        advice = "choose one that runs once, such as the block around it"
        raise ValueError(f"layer {name!r} runs {len(outputs)} times in one forward pass; {advice}")
    (output,) = outputs
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != count:
        raise ValueError(f"layer {name!r} must return ({count}, channels, h, w), but returns {shape}")
    if output.shape[2] * output.shape[3] == 1 or 0 in output.shape:
        advice = "choose an earlier layer or larger images"
        raise ValueError(f"layer {name!r} has no spatial extent: it returns {shape}; {advice}")
    return output


def layer_maps(
    method: str, activations: Tensor, gradients: Tensor | None, *, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Returns one layer's maps `(N, *size)` in [0, 1], from its output `(N, channels, h, w)`.

    The gradients are those of the sum of the scores by that output; "eigencam" needs none.
    """
    # Imported when first needed: it brings scikit-learn, OpenCV and torchvision, which take seconds.
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.image import scale_cam_image as scale

    # float32, since NumPy has no bfloat16.
    values = activations.detach().float().cpu().numpy()
    with np.errstate(all="ignore"):
        if gradients is None:
            maps = _principal_maps(values)
        else:
            # The library asks its model for the device of a parameter, and for nothing else.
            cam = getattr(pytorch_grad_cam, _CLASSES[method])(nn.PReLU(), [])
            maps = cam.get_cam_image(None, None, None, values, gradients.float().cpu().numpy(), False)
        # Scaled, resized and scaled again, since interpolation flattens peaks.
        scaled: NDArray[np.float32] = scale(scale(np.maximum(maps, 0), size[::-1]))
    return scaled


def _principal_maps(activations: NDArray[np.float32]) -> NDArray[np.float32]:
    # As the library's EigenCAM, whose full decomposition takes memory by the square of the pixels.
    count, channels, height, width = activations.shape
    if not np.isfinite(activations).all():
        return np.full((count, height, width), np.nan, np.float32)
    points = activations.reshape(count, channels, -1).swapaxes(1, 2)
    points = points - points.mean(axis=1, keepdims=True)
    axes = np.linalg.svd(points, full_matrices=False)[2][:, 0]
    return (points @ axes[:, :, None]).reshape(count, height, width)
