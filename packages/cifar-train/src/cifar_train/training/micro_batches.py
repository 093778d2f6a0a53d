"""Loss and gradient of a batch, one micro-batch a processor core."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from cifar_train.formatting import check

#: Mean loss, a scalar, of logits `(N, K)` and labels `(N,)`.
Loss = Callable[[Tensor, Tensor], Tensor]


class MicroBatches:
    """Runs the micro-batches of a batch in threads, one for each core, in the calling thread's autocast state.

    Cores that share one operation wait for each other after every layer; micro-batches meet once a step.
    Each micro-batch is normalised by its own statistics (ghost batch norm), and the running statistics are those of
    the first one, as with data-parallel processes. So the result does not depend on the number of threads, up to
    rounding.

    Args:
        net: The network in training; its parameters receive the gradients.
        size: Images of a micro-batch, at least 1. The last one of a batch may be smaller.
        loss: Mean over the images it is given.

    Source:
        E. Hoffer et al., "Train longer, generalize better" (arXiv:1705.08741): ghost batch norm.
    """

    def __init__(self, net: nn.Module, *, size: int, loss: Loss) -> None:
        check(size >= 1, "size", size, "at least 1")
        self._nets = [net]
        self._size = size
        self._loss = loss
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of images ``(N, ...)`` with labels ``(N,)``, and the logits ``(N, K)``.

        The gradients of the loss are computed already; its ``backward()`` passes them on. The logits have none.
        """
        parts = list(zip(torch.split(images, self._size), torch.split(labels, self._size), strict=True))
        nets = self._copies(len(parts))
        parameters = [p for p in self._nets[0].parameters() if p.requires_grad]
        device = images.device.type
        number_format, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)

        def work(net: nn.Module, part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
            # Each thread has its own autocast state.
            with torch.enable_grad(), torch.autocast(device, number_format, enabled):
                logits = net(part[0])
                # Each image has the same weight, also in a smaller last part.
                loss = self._loss(logits, part[1]) * (len(part[1]) / len(labels))
            return loss.detach(), logits.detach(), torch.autograd.grad(loss, parameters)

        results = list(self._threads(len(parts)).map(work, nets, parts))
        losses, logits, gradients = zip(*results, strict=True)
        total = [gradient.clone() for gradient in gradients[0]]
        for further in gradients[1:]:
            torch._foreach_add_(total, list(further))
        loss = _WithGradients.apply(torch.stack(losses).sum(), total, *parameters)
        return loss, torch.cat(logits)

    def _copies(self, count: int) -> list[nn.Module]:
        # Parameters are shared; buffers are own, but for the first network's.
        net = self._nets[0]
        while len(self._nets) < count:
            self._nets.append(copy.deepcopy(net, {id(p): p for p in net.parameters()}))
        for further in self._nets[1:count]:
            further.train(net.training)
        return self._nets[:count]

    def _threads(self, parts: int) -> ThreadPoolExecutor:
        cores = torch.get_num_threads()
        workers = min(parts, cores)
        if self._pool is None or workers != self._pool._max_workers:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool = ThreadPoolExecutor(
                workers, "micro-batch", initializer=torch.set_num_threads, initargs=(cores // workers,)
            )
        return self._pool


class _WithGradients(torch.autograd.Function):
    """Attaches the gradients that were computed with a loss to it."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Any, ...]:
        return None, None, *torch._foreach_mul(ctx.gradients, outer[0])
