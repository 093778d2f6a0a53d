"""What the decoded images must satisfy, what they hash to, and whether they are the canonical CIFAR-10."""

import hashlib
import json

import numpy as np
import numpy.typing as npt

from cifar_data.dataset.arrays import ImageDataset, Split
from cifar_data.dataset.errors import DataError

#: The ten classes in the order of their labels. Source: `label_names` of batches.meta, Krizhevsky 2009.
CANONICAL_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
#: Images per split. Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
CANONICAL_SIZES = {"train": 50_000, "test": 10_000}
#: `split_sha256` of each split in canonical order. Source: computed from CIFAR-10 whose published means, test
#: labels (CIFAR-10H) and single images (by test index) were checked first.
CANONICAL_SHA256 = {
    "train": "67e12c2a5906880a4fe5595fe6d768185ad7ca587f35d3a7ece3c3b8b85035d2",
    "test": "e54a434ec35094516eacbaac0f2f9550358d985e9d1f71b47d41d333c15ba304",
}
#: `split_sha256` of data_batch_1 to data_batch_5, 10,000 images each. Source: as above.
CANONICAL_BATCH_SHA256 = (
    "5c3aa79ef222352f26d831f464b4e498b7ac64504c67e061f0888d2f598eac17",
    "8623c28744fe66bc93881232aa70f8aaf58464c513bf24ec11fdfd4c38494a97",
    "acf6124661f089f92d55359de67d4b8027dbf012b490254fe9095a4fff6ff3ed",
    "894a3fc10589cd2905c03c1da1fb4322a157a63c3cf1126c763c8f79d089d5b6",
    "fe2d07d13456ba4fa93bafc942aafed888109eb86fa15852d9b872761aeb1c74",
)


def split_sha256(split: Split) -> str:
    """Return the SHA-256 in hex of all pixels, then all labels as little-endian int64.

    >>> empty = Split(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.int64))
    >>> split_sha256(empty)[:12]
    'e3b0c44298fc'
    """
    digest = hashlib.sha256(np.ascontiguousarray(split.images).data)
    digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return digest.hexdigest()


def dataset_fingerprint(*, train_sha256: str, test_sha256: str, classes: tuple[str, ...]) -> str:
    """Return one SHA-256 in hex over both splits' hashes and the class names.

    >>> dataset_fingerprint(train_sha256="a", test_sha256="b", classes=("cat", "dog"))[:12]
    'f22b8d688321'
    """
    content = {"classes": list(classes), "test": test_sha256, "train": train_sha256}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


#: Of the whole canonical dataset.
CANONICAL_FINGERPRINT = dataset_fingerprint(
    train_sha256=CANONICAL_SHA256["train"], test_sha256=CANONICAL_SHA256["test"], classes=CANONICAL_CLASSES
)


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Return the means and population standard deviations of the three channels, in [0, 1].

    Counts how often each of the 256 values occurs, so the sums are exact at any size.

    Args:
        images: (N, H, W, 3) with at least one pixel.

    >>> pixels = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1).repeat(3, axis=3)
    >>> channel_statistics(pixels)
    ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    """
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(images), 1000):  # bincount copies to int64: keep the copy small
        chunk = images[start : start + 1000]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ values
    variances = (shares * (values - means[:, None]) ** 2).sum(axis=1)
    return means.tolist(), np.sqrt(variances).tolist()


def describe_dataset(train: Split, test: Split, *, classes: tuple[str, ...], origin: str) -> ImageDataset:
    """Return both splits with their statistics and fingerprint.

    Raises:
        DataError: If a split is empty, has a label out of range, or lacks a class.
    """
    for name, split in (("training", train), ("test", test)):
        _check_labels(split, classes, place=f"{origin}: {name} split")
    means, stds = channel_statistics(train.images)
    fingerprint = dataset_fingerprint(
        train_sha256=split_sha256(train), test_sha256=split_sha256(test), classes=classes
    )
    return ImageDataset(
        train=train,
        test=test,
        classes=classes,
        mean=(means[0], means[1], means[2]),
        std=(stds[0], stds[1], stds[2]),
        fingerprint=fingerprint,
        origin=origin,
    )


def claims_canonical(train: Split, test: Split, classes: tuple[str, ...]) -> bool:
    """Return whether the class names and sizes are those of CIFAR-10."""
    sizes = {"train": len(train), "test": len(test)}
    return classes == CANONICAL_CLASSES and sizes == CANONICAL_SIZES


def canonical_order(train: Split, test: Split, *, origin: str) -> tuple[Split, Split]:
    """Return CIFAR-10 in canonical order, after checking that it is CIFAR-10, pixel for pixel.

    The five batches of the training split may come in any order: a conversion that reads them as they lie in
    the authors' tarball starts with data_batch_4.

    Raises:
        DataError: Naming the split, and its expected and found SHA-256.
    """
    train = _in_batch_order(train)
    for name, split in (("train", train), ("test", test)):
        found = split_sha256(split)
        if found != CANONICAL_SHA256[name]:
            raise DataError(
                f"{origin}: the {name} split has the size and class names of CIFAR-10 but other content: "
                f"expected sha256 {CANONICAL_SHA256[name]} of the decoded images and labels, found {found}. "
                "Replace the files by intact ones; altered images are accepted only as class folders, "
                "where nothing claims that they are CIFAR-10"
            )
    return train, test


def is_canonical(dataset: ImageDataset) -> bool:
    """Return whether this is CIFAR-10, pixel for pixel and in the canonical order."""
    return dataset.fingerprint == CANONICAL_FINGERPRINT


def _in_batch_order(train: Split) -> Split:
    """Return the training split with its five batches in order, or unchanged if they are not the five."""
    size = CANONICAL_SIZES["train"] // len(CANONICAL_BATCH_SHA256)
    batches = [
        Split(train.images[start : start + size], train.labels[start : start + size])
        for start in range(0, len(train), size)
    ]
    places = {split_sha256(batch): place for place, batch in enumerate(batches)}
    order = [places.get(sha256) for sha256 in CANONICAL_BATCH_SHA256]
    if None in order or order == sorted(places.values()):
        return train
    ordered = [batches[place] for place in order if place is not None]
    return Split(
        np.concatenate([batch.images for batch in ordered]),
        np.concatenate([batch.labels for batch in ordered]),
    )


def _check_labels(split: Split, classes: tuple[str, ...], *, place: str) -> None:
    if not len(split):
        raise DataError(f"{place} has no images; at least one per class is needed")
    wrong = np.flatnonzero((split.labels < 0) | (split.labels >= len(classes)))
    if len(wrong):
        raise DataError(
            f"{place}: image {wrong[0]} has the label {split.labels[wrong[0]]}, and {len(wrong)} in all are "
            f"out of range; allowed are 0 to {len(classes) - 1} for the {len(classes)} classes"
        )
    counts = np.bincount(split.labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        raise DataError(
            f"{place} has no image of {', '.join(missing)} among its {len(split)} images; "
            f"each of the {len(classes)} classes needs at least one"
        )
