"""Checks of arguments that several modules share."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

#: One class: its index, or its name where class names are given.
ClassKey: TypeAlias = int | str


def known_names(name: object, allowed: Iterable[str]) -> str:
    """Returns the end of an error about an unknown name: "did you mean 'layer1'? known: 'layer1', 'stem'"."""
    names = list(allowed)
    near = " or ".join(map(repr, difflib.get_close_matches(str(name), names, n=2)))
    # A large network has hundreds of modules; the first ones show the pattern.
    shown = ", ".join(map(repr, names[:40])) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
    return (f"did you mean {near}? " if near else "") + f"known: {shown or 'none'}"


def check_choice(argument: str, value: str, allowed: Iterable[str]) -> str:
    """Returns `value` if it is one of `allowed`."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument} is {value!r}; {known_names(value, names)}")
    return value


def check_count(argument: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value` as an int if it is a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{argument} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def check_number(argument: str, value: Any, words: str, fits: Callable[[float], bool]) -> float:
    """Returns `value` as a float if it is a number that fits, as the words say."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not fits(float(value)):
        raise ValueError(f"{argument} must be a number {words}, got {value!r:.100}")
    return float(value)


def as_images(images: Any) -> torch.Tensor:
    """Returns finite floating-point images `(N, C, H, W)` as a tensor without a graph."""
    got = images.layout if isinstance(images, torch.Tensor) else type(images).__name__
    if got != torch.strided and (not isinstance(images, np.ndarray) or isinstance(images, np.ma.MaskedArray)):
        raise ValueError(f"images must be a dense tensor or array (N, C, H, W), got {got}")
    if len(images.shape) != 4 or 0 in images.shape:
        raise ValueError(f"images must be (N, C, H, W) with at least one of each, got {tuple(images.shape)}")
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        # A copy as torch takes it: in native byte order, in a type that it has, with no negative strides.
        images = torch.from_numpy(np.array(images, f"f{min(max(images.itemsize, 4), 8)}", order="C"))
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        raise ValueError(f"images must be floating point, normalised for the model, got {images.dtype}")
    finite = images.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise ValueError(f"images must be finite, but image {int(finite.int().argmin())} has NaN or infinity")
    return images.detach()


def check_photos(photos: Any, count: int) -> None:
    """Raises a `ValueError` unless the images are uint8 RGB `(count, H, W, 3)`; reads none of them."""
    shape, kind = tuple(np.shape(photos)), getattr(photos, "dtype", None)
    if kind != np.uint8 or len(shape) != 4 or shape[0] != count or shape[3] != 3 or 0 in shape[1:]:
        raise ValueError(f"images must be uint8 ({count}, H, W, 3), got {kind} {shape}")


def as_logits(logits: Any, count: int) -> torch.Tensor:
    """Returns a model's output for `count` images if it is finite logits `(count, K)`."""
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != count or 0 in logits.shape:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(f"the model must return logits ({count}, K) and nothing else, but returns {got}")
    if not logits.is_floating_point() or not logits.isfinite().all():
        raise ValueError("the model must return finite floating-point logits, but does not for these images")
    return logits


def as_labels(labels: Any, *, count: int, classes: int, argument: str = "labels") -> NDArray[np.int64]:
    """Returns `count` class indices below `classes` as an int64 array."""
    array = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
    if array.shape != (count,):
        raise ValueError(f"{argument} must be {count} class indices, got the shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{argument} must be whole numbers, got {array.dtype}")
    valid = (array >= 0) & (array < classes)
    if not valid.all():
        place = int(valid.argmin())
        raise ValueError(f"{argument} must be from 0 to {classes - 1}, but number {place} is {array[place]}")
    return array.astype(np.int64)


def as_probabilities(probabilities: Any) -> NDArray[np.float64]:
    """Returns class probabilities `(N, K)` as float64, each row a distribution within 1e-3."""
    array = np.asarray(probabilities)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        got = f"{array.dtype} {array.shape}"
        raise ValueError(f"probabilities must be numbers (N, K), at least one of each, got {got}")
    array = array.astype(np.float64)
    # NaN fails both comparisons, so it is caught too.
    valid = (array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= 1e-3)
    if not valid.all():
        row = int(valid.argmin())
        raise ValueError(f"probabilities must be at least 0 and sum to 1, but row {row} is {array[row]}")
    return array


def as_predictions(probabilities: Any, labels: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns probabilities `(N, K)` and their labels `(N,)`, checked as by the two functions above."""
    rows = as_probabilities(probabilities)
    return rows, as_labels(labels, count=len(rows), classes=rows.shape[1])


def as_class_names(class_names: Sequence[str] | None, *, classes: int) -> tuple[str, ...]:
    """Returns the class names, or the indices as text if there are none."""
    if class_names is None:
        return tuple(map(str, range(classes)))
    names = () if isinstance(class_names, str) else tuple(class_names)
    if not all(isinstance(name, str) for name in names) or not len(names) == len(set(names)) == classes:
        raise ValueError(f"class_names must be {classes} different names, got {class_names!r}")
    return names


def as_class_index(key: Any, *, classes: int, class_names: Sequence[str] | None, argument: str) -> int:
    """Returns the index of a class given by index or, if there are class names, by name."""
    if isinstance(key, str):
        if class_names is None:
            raise ValueError(f"{argument} is the name {key!r}, but class_names is not given; use an index")
        names = as_class_names(class_names, classes=classes)
        return names.index(check_choice(argument, key, names))
    if isinstance(key, bool) or not isinstance(key, int | np.integer) or not 0 <= key < classes:
        raise ValueError(f"{argument} must be a class name or an index from 0 to {classes - 1}, got {key!r}")
    return int(key)
