"""How much arithmetic a network takes, and how much of it this machine does in a second."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

#: Sides of the square products whose best rate is the machine's.
PRODUCT_SIZES = (512, 1024, 2048)


@dataclass(frozen=True)
class ConvLayer:
    """A convolution as a network uses it.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel.
        stride: Of the kernel.
        padding: At each side.
        side: Of the images it gets, in pixels.
        trained: Whether its kernel needs a gradient.
        backward: Whether what it gets needs a gradient.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    side: int
    trained: bool = True
    backward: bool = True

    def __str__(self) -> str:
        return f"{self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}, {self.side}x{self.side}"


def count_flops(work: Callable[[], object]) -> int:
    """Return the floating-point operations of the products and convolutions in `work`; a fused multiply-add is two.

    >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    60
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def step_flops(net: nn.Module, *, channels: int = 3, side: int = 32) -> float:
    """Return the operations of a forward and a backward pass per image, in training mode.

    The optimizer's are not counted: they are not the network's.
    """
    images, labels = torch.zeros(2, channels, side, side), torch.zeros(2, dtype=torch.int64)

    def work() -> None:
        nn.functional.cross_entropy(net(images), labels).backward()

    total = count_flops(work)
    net.zero_grad()
    return total / len(images)


def find_convolutions(net: nn.Module, *, channels: int = 3, side: int = 32) -> Counter[ConvLayer]:
    """Return the distinct convolutions that a pass through `net` uses, and how often, in their order.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    >>> [str(layer) for layer in find_convolutions(net, side=8)]
    ['3x3, 3 to 4, 8x8', '3x3, 4 to 4, 8x8', '1x1, 4 to 4, 6x6']
    """
    found: Counter[ConvLayer] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        conv: nn.Conv2d = module  # type: ignore[assignment]
        layer = ConvLayer(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            int(conv.padding[0]),
            inputs[0].shape[-1],
            trained=conv.weight.requires_grad,
            backward=inputs[0].requires_grad,
        )
        found[layer] += 1

    hooks = [m.register_forward_pre_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d)]
    try:
        net(torch.zeros(2, channels, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def convolve(layer: ConvLayer, *, batch: int, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Return a forward and backward pass of a convolution alone, in channels-last memory, of random numbers.

    The backward pass gives the gradients that training needs of this layer, and no other.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, layer.inputs, layer.side, layer.side, generator=generator)
    kernel = torch.randn(layer.outputs, layer.inputs, layer.kernel, layer.kernel, generator=generator)
    images, kernel = (x.to(dtype, memory_format=torch.channels_last) for x in (images, kernel))
    needed = [x.requires_grad_() for x, needs in ((images, layer.backward), (kernel, layer.trained)) if needs]
    options = {"stride": layer.stride, "padding": layer.padding}
    given = torch.ones_like(nn.functional.conv2d(images, kernel, **options)).detach()

    def work() -> object:
        output = nn.functional.conv2d(images, kernel, **options)
        return torch.autograd.grad(output, needed, given) if needed else output

    return work


def product_rate(dtype: torch.dtype, *, sizes: Sequence[int] = PRODUCT_SIZES, seconds: float = 0.3) -> float:
    """Return the operations per second of square matrix products, the best of several sizes."""
    best = 0.0
    for size in sizes:
        left, right = (torch.ones(size, size, dtype=dtype) for _ in range(2))
        best = max(best, 2 * size**3 / time_work(lambda a=left, b=right: a @ b, seconds=seconds))
    return best


def time_work(
    work: Callable[[], object], *, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds that `work` takes, the mean over as many repeats as it takes to fill `seconds`.

    One more before them does not count.

    >>> times = iter([0.0, 2.0, 4.0, 6.0])
    >>> time_work(lambda: None, seconds=5, clock=lambda: next(times))
    2.0
    """
    work()
    started, repeats = clock(), 0
    while True:
        work()
        repeats += 1
        spent = clock() - started
        if spent >= seconds:
            return spent / repeats
