"""Which score of the model is explained: a class's logit, or the difference of two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cifar_explain.validation import ClassKey, as_class_index, as_labels

#: One class for all images, one for each image (such as the true classes), or "predicted".
Classes: TypeAlias = ClassKey | Sequence[ClassKey] | NDArray[np.integer] | Tensor


@dataclass(frozen=True)
class Versus:
    """One class against another: their logits' difference, "why `target` and not `against`?".

    Args:
        target: Class or classes to explain; "predicted" for each image's predicted class.
        against: Class or classes that they are compared with, in the same forms.

    >>> Versus("predicted", 3)
    Versus(target='predicted', against=3)
    """

    target: Classes
    against: Classes


@dataclass(frozen=True)
class Score:
    """The score of one image: a logit, or a difference of two. Called as pytorch-grad-cam calls its targets.

    >>> import torch
    >>> float(Score(0, against=2)(torch.tensor([5.0, 1.0, 2.0])))
    3.0
    """

    target: int
    against: int | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the score, a tensor without dimensions, of one image's logits `(K,)`."""
        score = logits[..., self.target]
        return score if self.against is None else score - logits[..., self.against]


def resolve_target(
    target: Classes | Versus, logits: Tensor, *, class_names: Sequence[str] | None = None
) -> list[Score]:
    """Return the score to explain of each image.

    Args:
        target: "predicted", one class, a class for each image, or a `Versus` of two of these.
        logits: The model's output `(N, K)`.
        class_names: The K names, for classes given by name.

    Raises:
        ValueError: If a class is unknown or out of range, there is not one for each image, or both sides of
            a `Versus` are the same class for an image.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 2.0], [3.0, 1.0]])
    >>> resolve_target("predicted", logits)
    [Score(target=1, against=None), Score(target=0, against=None)]
    >>> resolve_target(Versus("cat", "dog"), logits[:1], class_names=["cat", "dog"])
    [Score(target=0, against=1)]
    """
    if not isinstance(target, Versus):
        return [Score(index) for index in _indices("target", target, logits, class_names)]
    ours = _indices("target", target.target, logits, class_names)
    theirs = _indices("against", target.against, logits, class_names)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one == other:
            raise ValueError(f"target and against are both class {one} for image {number}; they must differ")
    return [Score(one, other) for one, other in zip(ours, theirs, strict=True)]


def _indices(argument: str, classes: Any, logits: Tensor, class_names: Sequence[str] | None) -> list[int]:
    count, width = logits.shape
    if isinstance(classes, str) and classes == "predicted":
        return [int(index) for index in logits.argmax(dim=1).tolist()]
    if isinstance(classes, str | int | np.integer):
        return [as_class_index(classes, classes=width, class_names=class_names, argument=argument)] * count
    if isinstance(classes, np.ndarray | Tensor):
        return [int(label) for label in as_labels(classes, count=count, classes=width, argument=argument)]
    if not isinstance(classes, Sequence) or len(classes) != count:
        raise ValueError(
            f"{argument} must be 'predicted', a class, or one for each of {count} images, got {classes!r}"
        )
    return [
        as_class_index(key, classes=width, class_names=class_names, argument=f"{argument}[{number}]")
        for number, key in enumerate(classes)
    ]
