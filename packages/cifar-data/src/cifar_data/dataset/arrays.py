"""The two nouns of this package: a split of labelled images, and a dataset of two splits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Split:
    """Images and their labels, in a fixed order. The arrays may be read-only memory maps.

    Attributes:
        images: (N, 32, 32, 3), red, green, blue, each 0 to 255.
        labels: (N,), indices into the dataset's class names.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class ImageDataset:
    """A training and a test split with what is known about both.

    Attributes:
        train: The images to learn from.
        test: The images to judge with.
        classes: Class names; a label is an index into them.
        mean: Of the training images, per channel (red, green, blue), in [0, 1].
        std: Population standard deviation of the training images, per channel, in [0, 1].
        fingerprint: SHA-256, in hex, over the decoded content: images, labels and class names.
            Two sources that decode to the same pixels have the same fingerprint.
        origin: Where the images came from, for people to read.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    origin: str
