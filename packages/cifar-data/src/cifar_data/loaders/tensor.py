"""A loader of whole batches: everything in memory, no workers, all work done by a few array operations."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset
from torch.utils.data.distributed import DistributedSampler

from cifar_data.augmentation.batch_ops import apply_parameters, normalize_batch, pad_batch
from cifar_data.augmentation.policy import Augmentation, AugmentationParameters, draw_parameters, mean_colour
from cifar_data.seeding import derive_generator
from cifar_data.validation import check_integer

_PAD_CHUNK = 2000  # images padded at once, so that no second copy of the set is ever held


def make_sampler(
    count: int,
    *,
    shuffle: bool,
    seed: int = 0,
    num_replicas: int = 1,
    rank: int = 0,
    kind: type[DistributedSampler[Any]] = DistributedSampler,
) -> DistributedSampler[Any]:
    """The order in which process `rank` of `num_replicas` visits the positions 0 to count - 1.

    All processes shuffle alike and take turns, so that together their batches of size b are the batches of
    size b * num_replicas of a single process. If count is no multiple of num_replicas, the first positions
    of the order are visited twice.

    Returns:
        A sampler on which `set_epoch` chooses the order; Lightning calls it.

    >>> [list(make_sampler(5, shuffle=False, num_replicas=2, rank=rank)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """
    # DistributedSampler shuffles by seed + epoch: mixed first, neighbouring seeds share no orders.
    order_seed = int(derive_generator(seed, "order").integers(2**62))
    positions = cast("Dataset[int]", range(count))
    return kind(
        positions, num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=order_seed, drop_last=False
    )


class TensorLoader:
    """Iterates over batches of (images, labels), augmented if asked for.

    Images are float32 (B, 3, 32, 32), normalised, in the memory format torch.channels_last; labels are
    int64 (B,). One iteration is one epoch; the epoch is the sampler's. Every draw depends on the seed, the
    epoch and the image's position alone: not on batch size, number of processes, or what was iterated
    before. So a run that resumes at epoch e continues as if it had not stopped.

    Memory: one uint8 copy of the images used, padded (4800 bytes per image with 4 pixels), and one batch.

    Args:
        images: uint8 (N, 32, 32, 3); may be a memory map.
        labels: int64 (N,).
        mean: Of the channels, in [0, 1].
        std: Of the channels, in [0, 1].
        batch_size: Images per batch, at least 1.
        indices: Which images to use, int64 (n,); all if not given.
        augmentation: What to do to the images; nothing if not given.
        shuffle: Whether each epoch has an order of its own.
        drop_last: Whether a last batch smaller than the others is left out.
        seed: Of order and augmentation, 0 to 2**32 - 1.
        num_replicas: Number of processes that share the images.
        rank: Which of these processes this is, from 0.

    Raises:
        ValueError: If an argument is out of its range.

    Attributes:
        sampler: The order; `sampler.set_epoch(epoch)` chooses the epoch.
        batch_sampler: The same in batches.
        batch_size: As given.
        drop_last: As given.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        indices: npt.NDArray[np.int64] | None = None,
        augmentation: Augmentation | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        check_integer("batch_size", batch_size, low=1)
        check_integer("num_replicas", num_replicas, low=1)
        check_integer("rank", rank, low=0, high=num_replicas - 1)
        if len(images) != len(labels):
            raise ValueError(f"labels must be as many as the {len(images)} images, got {len(labels)}")
        chosen = np.arange(len(labels)) if indices is None else indices
        if len(chosen) == 0:
            raise ValueError("indices must name at least one image, got none")
        self.sampler = make_sampler(
            len(chosen), shuffle=shuffle, seed=seed, num_replicas=num_replicas, rank=rank
        )
        self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self._augmentation = augmentation
        self._seed = seed
        self._mean = tuple(mean)
        self._std = tuple(std)
        self._size = images.shape[1]
        self._labels = torch.from_numpy(labels[chosen])
        self._images = _pad_all(images, chosen, augmentation)

    def __len__(self) -> int:
        """The number of batches in an epoch of this process."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the sampler's epoch."""
        parameters = self._draw(self.sampler.epoch)
        for batch in self.batch_sampler:
            positions = torch.tensor(batch, dtype=torch.int64)
            yield self._make(positions, parameters), self._labels[positions]

    def batch(self, positions: Tensor, *, epoch: int) -> Tensor:
        """What the images at int64 (B,) positions become in an epoch.

        Returns:
            float32 (B, 3, 32, 32), to the bit as the iteration over that epoch yields them.
        """
        return self._make(positions, self._draw(epoch))

    def _draw(self, epoch: int) -> AugmentationParameters | None:
        if self._augmentation is None:
            return None
        return draw_parameters(
            len(self._labels), self._augmentation, seed=self._seed, epoch=epoch, size=self._size
        )

    def _make(self, positions: Tensor, parameters: AugmentationParameters | None) -> Tensor:
        if self._augmentation is None or parameters is None:
            images = self._images[positions]
        else:
            images = apply_parameters(
                self._images,
                positions,
                parameters=parameters[positions],
                cutout=self._augmentation.cutout,
                fill=mean_colour(self._mean),
                jitter=self._augmentation.jitters,
                size=self._size,
            )
        return normalize_batch(images, self._mean, std=self._std)


def _pad_all(
    images: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64], augmentation: Augmentation | None
) -> Tensor:
    padding = 0 if augmentation is None else augmentation.padding
    mode = "constant" if augmentation is None else augmentation.padding_mode
    side = images.shape[1] + 2 * padding
    padded = torch.empty(len(chosen), side, side, 3, dtype=torch.uint8)
    for start in range(0, len(chosen), _PAD_CHUNK):
        chunk = torch.from_numpy(images[chosen[start : start + _PAD_CHUNK]])
        padded[start : start + _PAD_CHUNK] = pad_batch(chunk, padding, mode=mode)
    return padded
