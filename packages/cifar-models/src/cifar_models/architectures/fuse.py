"""Batch norms fused into the convolutions before them, for inference."""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class NormPair(NamedTuple):
    """Names of a convolution and of the batch norm that alone reads its output, perhaps after a max pooling."""

    conv: str
    norm: str
    pooled: bool = False


def fuse_conv_bn(model: nn.Module) -> nn.Module:
    """Returns a copy for inference with its batch norms fused into the convolutions before them.

    The copy gives the same logits up to rounding, is in eval mode and channels-last, needs no gradients, and has the
    same layers under the same names (`cam_layers` too), a fused norm being an `nn.Identity`. The model stays as it is.

    The model, or any module in it, declares its pairs by a property `norm_pairs`, a sequence of `NormPair`; norms of no
    pair stay. A norm behind a max pooling stays if one of its scales is negative, since that swaps maximum and minimum.

    Source: with `s = weight / sqrt(running_var + eps)`, `norm(conv(x)) = s * conv(x) + bias - s * running_mean`
    (S. Ioffe and C. Szegedy, "Batch Normalization", 2015, algorithm 2), and `max(s * x) = s * max(x)` for `s >= 0`.

    >>> from cifar_models import create_model
    >>> model = create_model("resnet9")
    >>> fused, images = fuse_conv_bn(model), torch.zeros(2, 3, 32, 32)
    >>> torch.allclose(fused(images), model.eval()(images), atol=1e-5)
    True
    """
    fused = copy.deepcopy(model)
    for owner in list(fused.modules()):
        for pair in getattr(owner, "norm_pairs", ()):
            _fuse(owner, pair)
    # The layout that CPUs convolve fastest in.
    return fused.eval().requires_grad_(False).to(memory_format=torch.channels_last)


#: Former name.
fold_batch_norms = fuse_conv_bn


def _fuse(owner: nn.Module, pair: NormPair) -> None:
    conv, norm = owner.get_submodule(pair.conv), owner.get_submodule(pair.norm)
    if isinstance(norm, nn.Identity):
        return
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise ValueError(  # noqa: TRY004 (a wrong declaration, not a wrong argument type)
            f"norm_pairs of {type(owner).__name__} must name an nn.Conv2d and an nn.BatchNorm2d, got {pair.conv!r}, "
            f"a {type(conv).__name__}, and {pair.norm!r}, a {type(norm).__name__}"
        )
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"norm_pairs of {type(owner).__name__}: {pair.norm!r} has no running statistics")
    if pair.pooled and norm.weight is not None and bool((norm.weight < 0).any()):
        return
    # In double precision, so that rounding to the weights' own is the only one; not every device has it, the CPU does.
    device, dtype = conv.weight.device, conv.weight.dtype
    fused = fuse_conv_bn_eval(conv.eval().cpu().double(), norm.eval().cpu().double())
    owner.set_submodule(pair.conv, fused.to(device, dtype))
    owner.set_submodule(pair.norm, nn.Identity())
