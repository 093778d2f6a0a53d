"""Checks of settings, whose errors name the setting, its value and what is allowed."""

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any

SOURCES = ("auto", "parquet", "batches", "tarball", "folder", "synthetic")
LOADERS = ("tensor", "albumentations", "bolts")
#: Seeds fit into 32 bits, the most that NumPy's legacy generator takes.
HIGHEST_SEED = 2**32 - 1

_DOWNLOADED = ("auto", "parquet", "tarball")  # sources that mean CIFAR-10 where no place is given
_TRAIN_SIZE, _TEST_SIZE = 50_000, 10_000  # of CIFAR-10


def check_integer(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raises a `ValueError` unless the value is a whole number from `low` to `high`, both included."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not (is_integer and low <= value and (high is None or value <= high)):  # type: ignore[operator]
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Raises a `ValueError` unless the value is a number in [0, 1)."""
    if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1):
        raise ValueError(f"{name} must be a number from 0 to below 1, got {value!r}")


def check_choice(name: str, value: object, *, allowed: Iterable[str]) -> None:
    """Raises a `ValueError` with the closest name unless the value is one of the allowed names."""
    names = list(allowed)
    if value in names:
        return
    near = difflib.get_close_matches(str(value).lower(), names, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}{hint}")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Checks the arguments of `CIFAR10DataModule`, given by name, before any data is read.

    Sizes are checked too if the images can only be CIFAR-10, because they will be downloaded. For images in a given
    place, `check_sizes` does that once they are found.
    """
    check_choice("data.source", settings["source"], allowed=SOURCES)
    check_choice("data.loader", settings["loader"], allowed=LOADERS)
    for name, low in (("batch_size", 1), ("eval_batch_size", 1), ("val_size", 0)):
        check_integer(f"data.{name}", settings[name], low=low)
    for name in ("split_seed", "seed"):
        check_integer(f"data.{name}", settings[name], low=0, high=HIGHEST_SEED)
    for name, low in (("num_workers", 0), ("train_limit", 1)):
        if settings[name] is not None:
            check_integer(f"data.{name}", settings[name], low=low)
    given = settings["root"] or os.environ.get("CIFAR_DATA_DIR")
    if settings["source"] in _DOWNLOADED and not given:
        check_sizes(settings, train=_TRAIN_SIZE)
        check_integer("data.eval_batch_size", settings["eval_batch_size"], low=1, high=_TEST_SIZE)


def check_sizes(settings: Mapping[str, Any], *, train: int) -> None:
    """Checks the sizes asked for against a source of `train` training images, as `check_settings` does."""
    check_integer("data.val_size", settings["val_size"], low=0, high=train - 1)
    available = train - settings["val_size"]
    if settings["train_limit"] is not None:
        check_integer("data.train_limit", settings["train_limit"], low=1, high=available)
        available = settings["train_limit"]
    check_integer("data.batch_size", settings["batch_size"], low=1, high=available)
