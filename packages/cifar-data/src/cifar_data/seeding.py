"""Random generators and orders, derived from a seed and a purpose so that no two uses share numbers."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

# The position of a purpose is part of the seed: append new ones, and leave unused ones in.
_PURPOSES = (
    *("split", "order", "crop", "flip", "side", "hole", "pipeline", "inputs", "preview"),
    *("brightness", "contrast"),
)


def derive_generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Returns a new generator that depends on all arguments, and on nothing else.

    The keys are non-negative integers, such as the epoch and the image's position. They are spawn keys, not added to
    the seed: epoch 1 of seed 0 would equal epoch 0 of seed 1.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose), *keys))
    return np.random.Generator(np.random.PCG64(sequence))


class ResumableSampler(DistributedSampler[Any]):
    """The order in which process `rank` of `num_replicas` visits the positions 0 to count - 1.

    All processes shuffle alike and take turns: together their batches of size b are the batches of size
    b * num_replicas of a single process. If count is no multiple of num_replicas, the first positions of the order
    are visited twice. `set_epoch`, which Lightning calls, chooses the order.

    >>> [list(ResumableSampler(5, shuffle=False, num_replicas=2, rank=rank)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    #: An epoch, and how many of its first positions are left out, which a resumed run has trained on.
    skip = (0, 0)

    def __init__(
        self, count: int, *, shuffle: bool, seed: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> None:
        # DistributedSampler shuffles by seed + epoch: mixed first, neighbouring seeds share no orders.
        order_seed = int(derive_generator(seed, "order").integers(2**62))
        positions = cast("Dataset[int]", range(count))
        super().__init__(positions, num_replicas, rank, shuffle, order_seed)

    def __iter__(self) -> Iterator[Any]:
        """Yields the positions of the epoch."""
        epoch, count = self.skip
        return islice(super().__iter__(), count if self.epoch == epoch else 0, None)
