"""Muon: momentum SGD whose updates of matrices and convolution kernels are orthogonalised."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cifar_train.formatting import check
from cifar_train.runs.hardware import quickest_precision

# Quintic iteration x <- a x + b x^3 + c x^5 on the singular values. It maximises the slope at zero, so that few
# steps suffice, and leaves them within about [0.7, 1.2] rather than at 1.
# Source: K. Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: Tensor, *, steps: int = 5, factors: torch.dtype | None = None) -> Tensor:
    """Returns the nearest semi-orthogonal matrix ``(M, N)``, approximately, by a Newton-Schulz iteration.

    Args:
        matrix: Real matrix ``(M, N)``; zero stays zero.
        steps: Iterations, at least 1. Five bring singular values above about 0.01 of the Frobenius norm near 1.
        factors: Number format of the factors of the two long products, by default the matrix's own. The error of
            bfloat16 is smaller than that of the iteration.

    Source:
        Bernstein and Newhouse, "Old Optimizer, New Norm" (2024); coefficients by K. Jordan.
    """
    check(matrix.ndim == 2, "the shape of matrix", tuple(matrix.shape), "of two dimensions")
    check(steps >= 1, "steps", steps, "at least 1")
    # The Gram matrix of the shorter side is the cheaper one.
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.T if tall else matrix
    x = (x / x.norm().clamp_min(1e-7)).to(factors or matrix.dtype)
    # Each iteration multiplies x by a polynomial of its Gram matrix. All of these commute, so they are collected on
    # the shorter side, and the long matrix is touched twice in all rather than twice an iteration.
    gram = (x @ x.T).to(matrix.dtype)
    product = factor = _quintic_factor(gram)
    for _ in range(steps - 1):
        gram = factor @ gram @ factor
        factor = _quintic_factor(gram)
        product = factor @ product
    x = (product.to(x.dtype) @ x).to(matrix.dtype)
    return x.T if tall else x


def _quintic_factor(gram: Tensor) -> Tensor:
    a, b, c = _QUINTIC
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


class Muon(Optimizer):
    """Muon for convolution kernels, Nesterov SGD for everything else.

    Kernels ``(O, I, H, W)`` are updated as matrices ``(O, H*W*I)`` and kept at the norm ``sqrt(O)``: before a batch
    norm only their direction counts, and a fixed norm makes the learning rate an angle. All groups share one learning
    rate, so that schedules and the learning rate finder work unchanged; vectors and classifier take multiples of it.

    Args:
        params: Parameters or ``(name, parameter)`` pairs.
        lr: Learning rate of the kernels, above 0. The angle of one step in radians, roughly.
        momentum: Of the kernels, in [0, 1).
        steps: Newton-Schulz iterations, at least 1.
        bias_scale: Learning rate of vectors (batch norm biases) as a multiple of ``lr``, above 0.
        gain_scale: Learning rate of vectors whose name ends in ``weight`` (batch norm scales) as a multiple of
            ``lr``, above 0.
        head_scale: Learning rate of matrices (the classifier) as a multiple of ``lr``, above 0.
        sgd_momentum: Of vectors and matrices, in [0, 1).
        weight_decay: Of biases and matrices, at least 0: each step shrinks them by the share ``lr * weight_decay``.
        bfloat16: Whether the long products of the orthogonalisation take bfloat16 factors; by default where the
            processor multiplies them natively.

    Source:
        K. Jordan, Muon (2024), and its use in airbench94 (arXiv:2404.00498, 2024); Nesterov momentum as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.06,
        *,
        momentum: float = 0.6,
        steps: int = 3,
        bias_scale: float = 110.0,
        head_scale: float = 0.04,
        sgd_momentum: float = 0.9,
        weight_decay: float = 0.04,
        gain_scale: float = 1.0,
        bfloat16: bool | None = None,
    ) -> None:
        scales = {"bias_scale": bias_scale, "head_scale": head_scale, "gain_scale": gain_scale}
        for name, value in {"lr": lr, **scales}.items():
            check(value > 0, name, value, "above 0")
        for name, value in {"momentum": momentum, "sgd_momentum": sgd_momentum}.items():
            check(0 <= value < 1, name, value, "in [0, 1)")
        check(steps >= 1, "steps", steps, "at least 1")
        check(weight_decay >= 0, "weight_decay", weight_decay, "at least 0")
        kinds: dict[str, list[Any]] = {"kernel": [], "bias": [], "gain": [], "matrix": []}
        for param in params:
            kinds[_kind(*param) if isinstance(param, tuple) else _kind("", param)].append(param)
        sgd = {"orthogonal": False, "momentum": sgd_momentum, "weight_decay": weight_decay}
        kernels = {"orthogonal": True, "momentum": momentum, "weight_decay": 0.0, "scale": 1.0}
        groups = [
            {"params": kinds["kernel"], **kernels},
            {"params": kinds["bias"], **sgd, "scale": bias_scale},
            {"params": kinds["matrix"], **sgd, "scale": head_scale},
            # Shrinking a scale would only undo what the next layer's norm does.
            {"params": kinds["gain"], **sgd, "weight_decay": 0.0, "scale": gain_scale},
        ]
        defaults = {"lr": lr, "momentum": momentum, "steps": steps}
        super().__init__([group for group in groups if group["params"]], defaults)
        if bfloat16 is None:
            bfloat16 = quickest_precision() == "bf16-mixed"
        self._factors = torch.bfloat16 if bfloat16 else None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates all parameters that have a gradient; returns the loss of ``closure`` if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            param.mul_(1 - group["lr"] * group["weight_decay"])
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(velocity, alpha=group["momentum"])
        if group["orthogonal"]:
            param.mul_(param.size(0) ** 0.5 / param.norm().clamp_min(1e-7))
            # Any order of the matrix's columns will do; that of channels-last memory needs no copy.
            by_pixel = update.permute(0, 2, 3, 1)
            matrix = orthogonalize(by_pixel.flatten(1), steps=group["steps"], factors=self._factors)
            update = matrix.view(by_pixel.shape).permute(0, 3, 1, 2)
        param.add_(update, alpha=-group["lr"] * group["scale"])


def _kind(name: str, param: Tensor) -> str:
    if param.ndim in (2, 4):
        return "matrix" if param.ndim == 2 else "kernel"
    return "gain" if name.endswith("weight") else "bias"
