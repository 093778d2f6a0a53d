"""The nouns of this package: a split of labelled images, a dataset of two splits, the files of one, its error."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Height and width of all images in pixels.
SIDE = 32


#: A value for each of red, green and blue.
Channels: TypeAlias = tuple[float, float, float]


class DataError(ValueError):
    """Images that are missing, damaged or not as asked; the message says what was found and what to do."""


@dataclass(frozen=True)
class Split:
    """RGB images (N, 32, 32, 3) of 0 to 255, and their labels (N,): a map-style dataset for torch.

    The arrays may be read-only memory maps.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], int]:
        return self.images[index], int(self.labels[index])

    @classmethod
    def join(cls, parts: Sequence["Split"]) -> "Split":
        """Returns all images and labels of the parts, without a copy if there is only one."""
        if len(parts) == 1:
            return parts[0]
        return cls(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))


#: The training split, the test split, and the class names.
Content: TypeAlias = tuple[Split, Split, tuple[str, ...]]


@dataclass(frozen=True)
class ImageDataset:
    """A training and a test split.

    Attributes:
        classes: Class names; a label is an index into them.
        mean: Of red, green and blue of the training images, in [0, 1].
        std: Their population standard deviation, in [0, 1].
        fingerprint: SHA-256, in hex, of the decoded images, labels and class names, whatever the source.
        origin: A description of the source.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: Channels
    std: Channels
    fingerprint: str
    origin: str


@dataclass(frozen=True)
class Layout:
    """The files of a dataset in reading order, found in a folder or tarball but not yet read.

    The kind is `parquet`, `batches`, `tarball` or `folder`; extra files have the class names, and files left out lie
    beside the others but are not read.
    """

    kind: str
    root: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    extra: tuple[Path, ...] = ()
    left_out: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, each once: a tarball holds both splits."""
        return tuple(dict.fromkeys(self.train + self.test + self.extra))

    @property
    def origin(self) -> str:
        """Kind and place, such as `tarball data/cifar-10-python.tar.gz`."""
        return f"{self.kind} {self.root}"

    @property
    def left_out_text(self) -> str:
        """Number and first names of the files left out."""
        count = len(self.left_out)
        names = ", ".join(str(path.relative_to(self.root)) for path in self.left_out[:5])
        return f"{count:,} file{'s' * (count > 1)} not read: {names}{', ...' * (count > 5)}"


def as_channels(values: Iterable[float]) -> Channels:
    """Returns three numbers as plain floats; another number of them is a `ValueError`."""
    red, green, blue = map(float, values)
    return red, green, blue
