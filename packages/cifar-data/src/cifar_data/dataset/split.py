"""The stratified split of the training images into those trained on and those held out."""

import numpy as np
import numpy.typing as npt

from cifar_data.seeding import derive_generator
from cifar_data.validation import check_integer


def stratified_split(
    labels: npt.NDArray[np.int64], *, val_size: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Holds out `val_size` images, each class in proportion, chosen at random within its class.

    Args:
        labels: (N,), integers of 0 and above.
        val_size: Number of images to hold out, 0 to N.
        seed: The same arguments give the same split.

    Returns:
        The sorted indices kept and held out. A class of n images has its share val_size * n / N rounded down or up.

    Source: the method of the largest remainder (Hamilton); ties go to the lower class index.

    >>> kept, held_out = stratified_split(np.array([0, 0, 0, 0, 1, 1]), val_size=3, seed=0)
    >>> len(kept), len(held_out), (held_out < 4).sum().item()
    (3, 3, 2)
    """
    check_integer("val_size", val_size, low=0, high=len(labels))
    generator = derive_generator(seed, "split")
    counts = np.bincount(labels)
    shares, remainders = np.divmod(counts * val_size, max(len(labels), 1))
    shares[np.argsort(-remainders, kind="stable")[: val_size - shares.sum()]] += 1
    order = generator.permutation(len(labels))
    # Stable, so that each class keeps the random order within it.
    order = order[np.argsort(labels[order], kind="stable")]
    held_out = np.zeros(len(labels), dtype=np.bool_)
    for start, share in zip(np.cumsum(counts) - counts, shares, strict=True):
        held_out[order[start : start + share]] = True
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)
