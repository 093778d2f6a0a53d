"""The settings that `bench_step.py` measures a step of training at."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from recipe_parts import make_loss, make_net, make_optimizer, number_format, read_recipe


@dataclass(frozen=True)
class Point:
    """The settings that a step is measured at.

    Args:
        recipe: Name of the recipe that the network and the optimizer are of.
        batch: Images of a step.
        threads: That torch uses.
        format: float32 or bfloat16.
        micro_batch: Images that one core works on at a time; None if all cores work on the batch together.
        channels_last: The memory format; contiguous otherwise.
        compiled: Whether the network went through `torch.compile`.
    """

    recipe: str
    batch: int
    threads: int
    format: str
    micro_batch: int | None = None
    channels_last: bool = True
    compiled: bool = False

    def __str__(self) -> str:
        words = [self.recipe, f"batch {self.batch}"]
        words += [f"{self.micro_batch} a core"] if self.micro_batch else []
        words += [f"{self.threads} threads" if self.threads > 1 else "1 thread", self.format]
        words += [] if self.channels_last else ["contiguous"]
        words += ["compiled"] if self.compiled else []
        return ", ".join(words)


def choose_points(base: Point, *, batches: Sequence[int], compiler: bool) -> list[Point]:
    """Return the base and what differs from it in one setting, without repetitions.

    >>> for point in choose_points(Point("fast", 125, 2, "float32"), batches=[250], compiler=False):
    ...     print(point)
    fast, batch 125, 2 threads, float32
    fast, batch 250, 2 threads, float32
    fast, batch 125, 1 thread, float32
    fast, batch 125, 2 threads, bfloat16
    fast, batch 125, 2 threads, float32, contiguous
    fast, batch 250, 125 a core, 2 threads, float32
    """
    other = "bfloat16" if base.format == "float32" else "float32"
    if base.micro_batch is None:
        side_by_side = replace(base, batch=base.batch * base.threads, micro_batch=base.batch)
    else:
        side_by_side = replace(base, micro_batch=None)
    points = [
        base,
        *(replace(base, batch=batch) for batch in batches),
        replace(base, threads=1),
        replace(base, format=other),
        replace(base, channels_last=False),
        side_by_side,
    ]
    if compiler:
        points.append(replace(base, compiled=True, micro_batch=None))
    return list(dict.fromkeys(points))


def has_compiler() -> bool:
    """Return whether there is a C++ compiler, which `torch.compile` needs on a processor."""
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)


def make_step(point: Point) -> Callable[[], None]:
    """Return a step of training at a point: forward pass, backward pass, optimizer."""
    recipe = read_recipe(point.recipe)
    torch.manual_seed(0)
    net = make_net(recipe, channels_last=point.channels_last).train()
    optimizer = make_optimizer(recipe, net)
    memory = torch.channels_last if point.channels_last else torch.contiguous_format
    images = torch.randn(point.batch, 3, 32, 32).to(memory_format=memory)
    labels = torch.arange(point.batch) % 10
    forward = torch.compile(net) if point.compiled else net
    loss = make_loss(recipe, forward, micro_batch=point.micro_batch)

    def step() -> None:
        with number_format(point.format):
            value = loss(images, labels)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
