"""A small network for quick training on a CPU: a fixed whitening layer, three groups, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cifar_models.architectures.fuse import NormPair
from cifar_models.architectures.resnet import check_images
from cifar_models.validation import check_int

# Side of the whitened patches in pixels.
_PATCH = 2

# On a CPU silu takes twice and gelu over three times as long as relu.
_Activation: TypeAlias = Callable[[Tensor], Tensor]
_ACTIVATIONS: Mapping[str, _Activation] = {
    name: getattr(nn.functional, name) for name in ("relu", "silu", "gelu")
}


def whitening_filters(images: Tensor, *, eps: float = 5e-4) -> Tensor:
    """Returns filters whose responses to 2x2 patches of `images` are uncorrelated and of equal variance.

    Their shape is `(4 * C, C, 2, 2)`, sorted by increasing variance of the patches along them.

    Args:
        images: Normalised images `(N, C, H, W)`; a few thousand settle the covariance.
        eps: Added to the variances (in units of the images' squared values), so that flat directions stay finite.

    Source: D. Page, "How to Train Your ResNet 8" (2019), patch whitening.
    """
    if images.ndim != 4 or min(images.shape[2:]) < _PATCH:
        raise ValueError(f"images must be (N, C, H, W), H and W at least {_PATCH}, got {tuple(images.shape)}")
    channels = images.size(1)
    values = channels * _PATCH**2
    patches = nn.functional.unfold(images.float(), _PATCH).transpose(1, 2).reshape(-1, values)
    if len(patches) < values:
        raise ValueError(f"images have {len(patches)} patches but need at least {values}; give more images")
    covariance = patches.T @ patches / len(patches)
    if not torch.isfinite(covariance).all():
        raise ValueError("images must be finite, got NaN or infinite values among them")
    variances, directions = torch.linalg.eigh(covariance)
    # A common sign makes the filters the same on every machine: eigenvectors are defined up to theirs.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    filters = (directions * largest.sign() / (variances.clamp_min(0) + eps).sqrt()).T
    return filters.reshape(-1, channels, _PATCH, _PATCH)


class _Group(nn.Module):
    """Convolution, max pooling, norm, activation, convolution, norm, activation; halves the image."""

    def __init__(self, inputs: int, outputs: int, momentum: float, activation: _Activation) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, momentum=momentum)
        for conv in (self.conv1, self.conv2):
            # The first filters pass their input on, so the group starts near the identity.
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad_(False)

    @property
    def norm_pairs(self) -> tuple[NormPair, ...]:
        return (NormPair("conv1", "norm1", pooled=True), NormPair("conv2", "norm2"))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.conv1(x), 2)
        x = self.activation(self.norm1(x))
        return self.activation(self.norm2(self.conv2(x)))


class WhiteNet(nn.Module):
    """A fixed whitening layer, three groups of two convolutions, global max pool, linear classifier.

    Batch norms have biases but no scales, convolutions start as the identity where they can, and the classifier starts
    near zero. Call `initialize` with training images before training, not when loading weights. Takes normalised images
    `(N, in_channels, H, W)` with H and W of at least 16. The activation, "relu", "silu" or "gelu", follows each norm
    and the whitening layer; `norm_momentum`, in (0, 1], is the newest batch's weight in the running statistics.

    Source: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498): the design, at widths
    64, 256, 256; tysam-code, hlb-CIFAR10; D. Page's ResNet.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 128, 128),
        norm_momentum: float = 0.1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_int("num_classes", num_classes, minimum=1)
        check_int("in_channels", in_channels, minimum=1)
        if len(widths) != 3:
            raise ValueError(f"widths must be three numbers, got {list(widths)}")
        first, second, third = (check_int("each of widths", width, minimum=1) for width in widths)
        if not 0 < norm_momentum <= 1:
            raise ValueError(f"norm_momentum must be in (0, 1], got {norm_momentum}")
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
        self.activation = _ACTIVATIONS[activation]
        # Each whitened direction once with either sign, since the activation keeps one of them.
        whitened = 2 * in_channels * _PATCH**2
        self.whiten = nn.Conv2d(in_channels, whitened, _PATCH)
        self.whiten.bias = nn.Parameter(torch.zeros(whitened))
        # Neither is trained, so that the backward pass ends before this layer, whose maps are the largest.
        self.whiten.requires_grad_(False)
        self.layer1 = _Group(whitened, first, norm_momentum, self.activation)
        self.layer2 = _Group(first, second, norm_momentum, self.activation)
        self.layer3 = _Group(second, third, norm_momentum, self.activation)
        self.head = nn.Linear(third, num_classes, bias=False)
        # So small that training starts from a nearly even softmax.
        self.head.weight.data.div_(third)

    @property
    def cam_layers(self) -> Mapping[str, nn.Module]:
        """Layers for class activation maps, deepest last; on 32x32 images 15, 7 and 3 pixels wide."""
        return {"layer1": self.layer1, "layer2": self.layer2, "layer3": self.layer3}

    @torch.no_grad()
    def initialize(self, images: Tensor) -> None:
        """Sets the whitening filters from normalised training images `(N, C, H, W)` without augmentation."""
        filters = whitening_filters(images)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def features(self, images: Tensor) -> Tensor:
        """Returns the last feature maps, `(N, widths[2], H', W')`; 3x3 of 32x32 images."""
        check_images(images, self.whiten.in_channels)
        x = self.activation(self.whiten(images))
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits, `(N, num_classes)`."""
        return self.head(self.features(images).amax((2, 3)))
