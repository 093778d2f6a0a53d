"""Floating-point operations of a network, and how many of them this machine does in a second."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ConvLayer:
    """A convolution as a network uses it: channels, kernel, the side of its input in pixels, and its gradients."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    side: int
    kernel_gradient: bool
    input_gradient: bool

    def __str__(self) -> str:
        return f"{self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}, {self.side}x{self.side}"


def count_flops(work: Callable[[], object]) -> int:
    """Returns the operations of the products and convolutions in `work`; a fused multiply-add is two.

    >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    60
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def step_flops(net: nn.Module) -> float:
    """Returns the operations of a forward and a backward pass per image of 32x32 pixels, without the optimizer's."""
    images, labels = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)
    total = count_flops(lambda: F.cross_entropy(net(images), labels).backward())
    net.zero_grad()
    return total / len(images)


def find_convolutions(net: nn.Module, *, side: int = 32) -> Counter[ConvLayer]:
    """Returns the distinct convolutions of a pass through `net`, in their order, and how often each is used.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    >>> [str(layer) for layer in find_convolutions(net, side=8)]
    ['3x3, 3 to 4, 8x8', '3x3, 4 to 4, 8x8', '1x1, 4 to 4, 6x6']
    """
    found: Counter[ConvLayer] = Counter()

    def note(conv: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        channels = (conv.in_channels, conv.out_channels)
        window = (conv.kernel_size[0], conv.stride[0], int(conv.padding[0]))
        gradients = (conv.weight.requires_grad, inputs[0].requires_grad)
        found[ConvLayer(*channels, *window, inputs[0].shape[-1], *gradients)] += 1

    hooks = [m.register_forward_pre_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d)]
    net(torch.zeros(2, 3, side, side))
    for hook in hooks:
        hook.remove()
    return found


def convolve(layer: ConvLayer, *, batch: int, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Returns a forward and backward pass of one convolution on random numbers, in channels-last memory.

    The backward pass computes only the gradients that training needs of this layer.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, layer.inputs, layer.side, layer.side, generator=generator)
    kernel = torch.randn(layer.outputs, layer.inputs, layer.kernel, layer.kernel, generator=generator)
    images, kernel = (x.to(dtype, memory_format=torch.channels_last) for x in (images, kernel))
    pairs = ((images, layer.input_gradient), (kernel, layer.kernel_gradient))
    needed = [x.requires_grad_() for x, needs in pairs if needs]

    def forward() -> Tensor:
        return F.conv2d(images, kernel, stride=layer.stride, padding=layer.padding)

    ones = torch.ones_like(forward()).detach()
    return (lambda: torch.autograd.grad(forward(), needed, ones)) if needed else forward


def product_rate(dtype: torch.dtype, *, seconds: float) -> float:
    """Returns the operations per second of square matrix products, the best of three sizes."""
    rates = []
    for side in (512, 1024, 2048):
        left, right = (torch.ones(side, side, dtype=dtype) for _ in range(2))
        rates.append(2 * side**3 / time_work(lambda a=left, b=right: a @ b, seconds=seconds))
    return max(rates)


def time_work(
    work: Callable[[], object], *, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Returns the mean seconds of `work` over as many repeats as fill `seconds`, after one that does not count.

    >>> times = iter([0.0, 2.0, 4.0, 6.0])
    >>> time_work(lambda: None, seconds=5, clock=lambda: next(times))
    2.0
    """
    work()
    started, repeats = clock(), 0
    while True:
        work()
        repeats += 1
        if (spent := clock() - started) >= seconds:
            return spent / repeats
