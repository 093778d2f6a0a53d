"""Batch norms carried by the convolutions before them: what inference needs no separate step for."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class NormPair(NamedTuple):
    """A convolution and the batch norm that takes its output, by their names inside the module that declares them.

    Args:
        conv: Name of the convolution; nothing but the norm, or the pooling before it, may read its output.
        norm: Name of the norm.
        pooled: Whether a max pooling lies between them.
    """

    conv: str
    norm: str
    pooled: bool = False


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Return a copy for inference whose convolutions do the work of the batch norms behind them.

    The copy gives the same logits up to rounding, is in eval mode and channels-last, needs no gradients, and has the
    same layers under the same names (`cam_layers` too), a folded norm being an `nn.Identity`. The model stays as it is.

    Which norms follow which convolutions is declared: by a property `norm_pairs`, a sequence of `NormPair`, of the
    model or of any module in it. The architectures of this package have it; of a model without, the copy has all
    its norms. A norm behind a max pooling stays if one of its scales is negative, since that swaps maximum and minimum.

    Args:
        model: Any module, in either mode; its running statistics are used.

    Raises:
        ValueError: If a declared pair is not a convolution and a batch norm with running statistics.

    Source: with `s = weight / sqrt(running_var + eps)`, `norm(conv(x)) = s * conv(x) + bias - s * running_mean`
    (S. Ioffe and C. Szegedy, "Batch Normalization", 2015, algorithm 2), and `max(s * x) = s * max(x)` for `s >= 0`.

    >>> from cifar_models import create_model
    >>> model = create_model("resnet9")
    >>> folded, images = fold_batch_norms(model), torch.zeros(2, 3, 32, 32)
    >>> torch.allclose(folded(images), model.eval()(images), atol=1e-5)
    True
    >>> folded.prep[1], model.prep[1]
    (Identity(), BatchNorm2d(64, ...))
    """
    folded = copy.deepcopy(model).requires_grad_(False)
    for owner in list(folded.modules()):
        for pair in getattr(owner, "norm_pairs", ()):
            _fold(owner, pair)
    # The layout that CPUs convolve fastest in.
    return folded.eval().to(memory_format=torch.channels_last)


def _fold(owner: nn.Module, pair: NormPair) -> None:
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
    weight, bias = fuse_conv_bn_weights(
        _double(conv.weight),
        None if conv.bias is None else _double(conv.bias),
        _double(norm.running_mean),
        _double(norm.running_var),
        norm.eps,
        None if norm.weight is None else _double(norm.weight),
        None if norm.bias is None else _double(norm.bias),
    )
    conv.weight, conv.bias = (
        nn.Parameter(folded.detach().to(conv.weight), requires_grad=False) for folded in (weight, bias)
    )
    owner.set_submodule(pair.norm, nn.Identity())


def _double(tensor: Tensor) -> Tensor:
    # So that rounding to the weights' own precision is the only one; on the CPU, since not every device has float64.
    return tensor.detach().cpu().double()
