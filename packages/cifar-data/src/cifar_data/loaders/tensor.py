"""A loader of whole batches: all images in memory, no workers, a few array operations per batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from cifar_data.augmentation import batch_ops, policy
from cifar_data.augmentation.policy import NO_AUGMENTATION, Augmentation, AugmentationParameters
from cifar_data.seeding import ResumableSampler

_PAD_CHUNK = 2000  # images padded at once, so that no second copy of all images is ever held


class TensorLoader:
    """Iterates over batches of (images, labels), augmented on request.

    Images are float32 (B, 3, 32, 32), normalised, in the memory format torch.channels_last; labels are int64 (B,).
    One iteration is one epoch, chosen by `sampler.set_epoch(epoch)`. Every draw depends on the seed, the epoch and the
    image's position alone: not on batch size, number of processes, or earlier iterations. So a run resumed at epoch e
    continues as if it had not stopped.

    Args:
        images: uint8 (N, 32, 32, 3); may be a memory map.
        labels: int64 (N,).
        mean: Mean of each channel, in [0, 1]; `std` is its standard deviation.
        batch_size: Images per batch, at least 1; a smaller last one is left out if `drop_last`.
        indices: The images to use, int64 (n,); all if not given.
        augmentation: The augmentation; none if not given.
        shuffle: Gives each epoch an order of its own, which `seed` decides as it does the augmentation.
        num_replicas: Number of processes that share the images; `rank` is that of this one, from 0.
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
        if len(images) != len(labels):
            raise ValueError(f"labels must be as many as the {len(images)} images, got {len(labels)}")
        chosen = np.arange(len(labels)) if indices is None else indices
        if len(chosen) == 0:
            raise ValueError("indices must name at least one image, got none")
        self.sampler = ResumableSampler(
            len(chosen), shuffle=shuffle, seed=seed, num_replicas=num_replicas, rank=rank
        )
        self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self._augmentation = augmentation or NO_AUGMENTATION
        self._seed = seed
        self._mean = tuple(mean)
        self._std = tuple(std)
        self._size = images.shape[1]
        self._labels = torch.from_numpy(labels[chosen])
        padding, mode = self._augmentation.padding, self._augmentation.padding_mode
        side = self._size + 2 * padding
        self._padded = torch.empty(len(chosen), side, side, 3, dtype=torch.uint8)
        for start in range(0, len(chosen), _PAD_CHUNK):
            chunk = slice(start, start + _PAD_CHUNK)
            batch = torch.from_numpy(images[chosen[chunk]])
            self._padded[chunk] = batch_ops.pad_batch(batch, padding, mode=mode)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        parameters = self._draw(self.sampler.epoch)
        for batch in self.batch_sampler:
            positions = torch.tensor(batch, dtype=torch.int64)
            yield self._make(positions, parameters), self._labels[positions]

    def batch(self, positions: Tensor, *, epoch: int) -> Tensor:
        """Returns the images at int64 (B,) positions, to the bit as an iteration over that epoch yields them."""
        return self._make(positions, self._draw(epoch))

    def _draw(self, epoch: int) -> AugmentationParameters:
        options = {"seed": self._seed, "epoch": epoch, "size": self._size}
        return policy.draw_parameters(len(self._labels), self._augmentation, **options)

    def _make(self, positions: Tensor, parameters: AugmentationParameters) -> Tensor:
        crop, flip, hole, brightness, contrast = (values[positions] for values in parameters)
        images = batch_ops.crop_batch(self._padded, positions, corners=crop, size=self._size)
        images = batch_ops.flip_batch(images, flip)
        if self._augmentation.jitters:
            images = batch_ops.jitter_batch(images, brightness, contrast=contrast)
        fill = policy.mean_colour(self._mean)
        images = batch_ops.cutout_batch(images, hole, size=self._augmentation.cutout, fill=fill)
        return batch_ops.normalize_batch(images, self._mean, std=self._std)
