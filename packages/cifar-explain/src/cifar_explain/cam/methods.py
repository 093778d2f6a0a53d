"""The methods of pytorch-grad-cam, run on activations and gradients that were recorded before."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

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


def uses_gradients(method: str) -> bool:
    """Tells whether a method needs a backward pass.

    >>> uses_gradients("gradcam"), uses_gradients("eigencam")
    (True, False)
    """
    return method != "eigencam"


def layer_maps(
    method: str,
    activations: NDArray[np.float32],
    gradients: NDArray[np.float32] | None,
    *,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Returns one layer's maps `(N, *size)` in [0, 1], as pytorch-grad-cam makes them.

    Args:
        method: One of `METHODS`.
        activations: The layer's output `(N, channels, h, w)`.
        gradients: The sum of the scores differentiated by the layer's output; None where not needed.
        size: Height and width of the maps.
    """
    # Imported when first needed: it brings scikit-learn, OpenCV and torchvision, which take seconds.
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.image import scale_cam_image as scale

    # The library asks its model for the device of a parameter, and for nothing else where all is recorded.
    cam = getattr(pytorch_grad_cam, _CLASSES[method])(nn.PReLU(), [])
    with np.errstate(all="ignore"):
        if method == "eigencam":
            maps = _principal_maps(activations)
        else:
            maps = cam.get_cam_image(None, None, None, activations, gradients, False)
        # Scaled, resized and scaled again, since interpolation flattens peaks.
        scaled: NDArray[np.float32] = scale(scale(np.maximum(maps, 0), size[::-1]))
    return scaled


def _principal_maps(activations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what the library's EigenCAM does, whose full decomposition takes memory by the square of the pixels."""
    count, channels, height, width = activations.shape
    if not np.isfinite(activations).all():
        return np.full((count, height, width), np.nan, np.float32)
    points = activations.reshape(count, channels, -1).swapaxes(1, 2)
    points = points - points.mean(axis=1, keepdims=True)
    axes = np.linalg.svd(points, full_matrices=False)[2][:, 0]
    return (points @ axes[:, :, None]).reshape(count, height, width)
