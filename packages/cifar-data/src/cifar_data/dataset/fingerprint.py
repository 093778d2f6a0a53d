"""Statistics and hashes of the decoded images, and the check that CIFAR-10 is CIFAR-10."""

import hashlib
import json
import unicodedata

import numpy as np
import numpy.typing as npt

from cifar_data.dataset.arrays import Channels, Content, DataError, ImageDataset, Split, as_channels

#: The ten classes in the order of their labels. Source: `label_names` of batches.meta, Krizhevsky 2009.
CANONICAL_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
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
#: `fingerprint` of the whole canonical dataset.
CANONICAL_FINGERPRINT = "3d57b2acb89a63d3a546046add5f5a50b04c902922494195a40aae3f3480c628"
#: Name and MD5 of the authors' tarball. Source: https://www.cs.toronto.edu/~kriz/cifar.html
TARBALL = "cifar-10-python.tar.gz"
TARBALL_MD5 = "c58f30108f718f92721af3b95e74349a"


def compose_name(name: str) -> str:
    """Returns a class name in Unicode's form NFC: file systems store one name in different forms."""
    return unicodedata.normalize("NFC", name)


def split_sha256(split: Split) -> str:
    """Returns the SHA-256 in hex of all pixels, then all labels as little-endian int64."""
    digest = hashlib.sha256(np.ascontiguousarray(split.images).data)
    digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return digest.hexdigest()


def fingerprint(train: Split, test: Split, classes: tuple[str, ...]) -> str:
    """Returns one SHA-256 in hex over both splits' hashes and the class names."""
    content = {"classes": list(classes), "test": split_sha256(test), "train": split_sha256(train)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[Channels, Channels]:
    """Returns the means and population standard deviations of the three channels of (N, H, W, 3), in [0, 1]."""
    counts = np.zeros((3, 256), dtype=np.int64)  # of each value, so that the sums are exact at any size
    for start in range(0, len(images), 1000):  # bincount copies to int64: keep the copy small
        chunk = images[start : start + 1000]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ values
    variances = (shares * (values - means[:, None]) ** 2).sum(axis=1)
    return as_channels(means), as_channels(np.sqrt(variances))


def describe_dataset(train: Split, test: Split, *, classes: tuple[str, ...], origin: str) -> ImageDataset:
    """Returns both splits with their statistics and fingerprint, after checking the class names and the labels."""
    classes = tuple(map(compose_name, classes))
    if len(set(classes)) < max(len(classes), 2):
        raise DataError(f"{origin}: the class names are {list(classes)}; needed are two or more, each once")
    for name, split in (("training", train), ("test", test)):
        _check_labels(split, classes, place=f"{origin}: {name} split")
    statistics = channel_statistics(train.images)
    return ImageDataset(train, test, classes, *statistics, fingerprint(train, test, classes), origin)


def canonical_order(train: Split, test: Split, *, classes: tuple[str, ...], origin: str) -> Content:
    """Checks data with the class names and sizes of CIFAR-10 pixel for pixel; returns other data unchanged.

    The five batches of the training split may come in any order: a conversion that follows the order of the authors'
    tarball starts with data_batch_4. Without class names, those are returned if the content is CIFAR-10, else numbers.
    """
    if classes in (CANONICAL_CLASSES, ()) and {"train": len(train), "test": len(test)} == CANONICAL_SIZES:
        ordered = _in_batch_order(train)
        found = {"train": split_sha256(ordered), "test": split_sha256(test)}
        if found == CANONICAL_SHA256:
            return ordered, test, CANONICAL_CLASSES
        if classes:
            name = next(name for name in found if found[name] != CANONICAL_SHA256[name])
            raise DataError(
                f"{origin}: the {name} split has the size and class names of CIFAR-10 but other content: "
                f"expected sha256 {CANONICAL_SHA256[name]} of the decoded images and labels, found {found[name]}. "
                "Replace the files by intact ones. Modified images are accepted as class folders"
            )
    if not classes:  # no more names than images: larger labels are rejected with the name of the image
        highest = max([-1, *train.labels, *test.labels])
        classes = tuple(map(str, range(min(highest, len(train)) + 1)))
    return train, test, classes


def is_canonical(dataset: ImageDataset) -> bool:
    """Returns whether this is CIFAR-10, pixel for pixel and in the canonical order."""
    return dataset.fingerprint == CANONICAL_FINGERPRINT


def _in_batch_order(train: Split) -> Split:
    """Returns the training split with its five batches in order, or unchanged if they are not the five."""
    size = CANONICAL_SIZES["train"] // len(CANONICAL_BATCH_SHA256)
    batches = {}
    for start in range(0, len(train), size):
        batch = Split(train.images[start : start + size], train.labels[start : start + size])
        batches[split_sha256(batch)] = batch
    if tuple(batches) == CANONICAL_BATCH_SHA256 or set(batches) != set(CANONICAL_BATCH_SHA256):
        return train
    return Split.join([batches[sha256] for sha256 in CANONICAL_BATCH_SHA256])


def _check_labels(split: Split, classes: tuple[str, ...], *, place: str) -> None:
    wrong = np.flatnonzero((split.labels < 0) | (split.labels >= len(classes)))
    if len(wrong):
        found = f"image {wrong[0]} has the label {split.labels[wrong[0]]}"
        raise DataError(f"{place}: {found}; allowed are 0 to {len(classes) - 1} for {len(classes)} classes")
    present = set(split.labels.tolist())
    if missing := [name for label, name in enumerate(classes) if label not in present]:
        found = f"no image of {', '.join(missing)} among its {len(split)} images"
        raise DataError(f"{place} has {found}; each class needs one")
