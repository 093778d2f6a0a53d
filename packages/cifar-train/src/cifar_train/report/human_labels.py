"""The files in which people's answers are published, as a user names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_explain import Errors, HumanView, Recheck, judge_errors, read_counts, read_rechecks

# People name most images as their labels do; in another order of the images they agree by chance, one in ten.
_LEAST_AGREEMENT = 0.5


@dataclass(frozen=True)
class HumanFiles:
    """What people said about the test images; either file may be missing.

    Args:
        counts: Annotators' votes, such as CIFAR-10H's cifar10h-counts.npy: (N, K), in the images' order.
        rechecks: Re-checked labels, such as Northcutt's cifar10_mturk.json.
    """

    counts: Path | None = None
    rechecks: Path | None = None

    def read(self, labels: NDArray[np.integer], *, classes: int) -> HumanAnswers | None:
        """Read both files; None if neither is named.

        Args:
            labels: True class of each test image, ``(N,)``.
            classes: Number of classes, K.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If a file is not what it must be, or its images are in another order.
        """
        if self.counts is None and self.rechecks is None:
            return None
        for name, path in (("counts", self.counts), ("rechecks", self.rechecks)):
            if path is not None and not path.is_file():
                raise FileNotFoundError(f"human.{name}: there is no file {path}")
        counts = rechecks = None
        if self.counts is not None:
            counts = read_counts(self.counts, images=len(labels), classes=classes)
            agreement = float((counts.argmax(axis=1) == labels).mean())
            if agreement < _LEAST_AGREEMENT:
                raise ValueError(
                    f"{self.counts}: only {agreement:.0%} of the images got most votes for their label, "
                    "so its images are in another order, or others, than those of the test set"
                )
        if self.rechecks is not None:
            rechecks = read_rechecks(self.rechecks, images=len(labels), classes=classes)
            for index, recheck in rechecks.items():
                if recheck.given != labels[index]:
                    raise ValueError(
                        f"{self.rechecks}: image {index} has the label {recheck.given} there, but "
                        f"{labels[index]} in the test set; its images are in another order, or others"
                    )
        return HumanAnswers(counts, rechecks)


@dataclass(frozen=True, eq=False)
class HumanAnswers:
    """What people said about the test images, checked against their labels.

    Args:
        counts: Votes ``(N, K)``, or None.
        rechecks: Re-checked labels by image, or None; not both None.
    """

    counts: NDArray[np.float64] | None
    rechecks: Mapping[int, Recheck] | None

    def judge(self, errors: Errors) -> HumanView:
        """What people say about each of the errors."""
        return judge_errors(errors, counts=self.counts, rechecks=self.rechecks)
