"""Where the files of one dataset are: what each finder returns and each reader takes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of a dataset, found but not yet read.

    Attributes:
        kind: `parquet`, `batches`, `tarball` or `folder`.
        root: The folder (or file) in which they were found.
        train: Files of the training split, in reading order.
        test: Files of the test split, in reading order.
        extra: Further files that matter, such as the one with the class names.
    """

    kind: str
    root: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    extra: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files on which the content depends, each once."""
        splits = self.train if self.test == self.train else self.train + self.test  # a tarball holds both
        return splits + self.extra

    @property
    def origin(self) -> str:
        """Kind and place, for people to read.

        >>> Layout("tarball", Path("data/cifar-10-python.tar.gz"), (), ()).origin
        'tarball data/cifar-10-python.tar.gz'
        """
        return f"{self.kind} {self.root}"
