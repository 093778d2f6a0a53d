"""The rules that the settings of the data module obey, by themselves and beside the images found."""

import os
from collections.abc import Mapping
from typing import Any

from cifar_data.seeding import SEED_LIMIT
from cifar_data.validation import check_choice, check_integer

SOURCES = ("auto", "parquet", "batches", "tarball", "folder", "synthetic")
# Those that stand for CIFAR-10 from the network where no place is given.
_DOWNLOADED = ("auto", "parquet", "tarball")
LOADERS = ("tensor", "albumentations", "bolts")
CIFAR10_TRAIN_SIZE = 50_000
CIFAR10_TEST_SIZE = 10_000


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check what can be known before any data is read; sizes too, if the images can only be CIFAR-10.

    They can where neither a root nor CIFAR_DATA_DIR is given, and so a download is read. What lies in a folder may
    be larger or smaller in any layout, and is checked by `check_sizes` when it has been found.

    Args:
        settings: The arguments of `CIFAR10DataModule` by name.

    Raises:
        ValueError: Naming the setting as on the command line, its value and what is allowed.

    >>> check_settings({"source": "zip"})
    Traceback (most recent call last):
    ...
    ValueError: data.source must be one of auto, parquet, batches, tarball, folder, synthetic, got 'zip'
    """
    check_choice("data.source", settings["source"], allowed=SOURCES)
    check_choice("data.loader", settings["loader"], allowed=LOADERS)
    check_integer("data.batch_size", settings["batch_size"], low=1)
    check_integer("data.eval_batch_size", settings["eval_batch_size"], low=1)
    check_integer("data.val_size", settings["val_size"], low=0)
    check_integer("data.split_seed", settings["split_seed"], low=0, high=SEED_LIMIT - 1)
    check_integer("data.seed", settings["seed"], low=0, high=SEED_LIMIT - 1)
    if settings["num_workers"] is not None:
        check_integer("data.num_workers", settings["num_workers"], low=0)
    if settings["train_limit"] is not None:
        check_integer("data.train_limit", settings["train_limit"], low=1)
    given = settings["root"] or os.environ.get("CIFAR_DATA_DIR")
    if settings["source"] in _DOWNLOADED and not given:
        check_sizes(settings, train=CIFAR10_TRAIN_SIZE)
        check_integer("data.eval_batch_size", settings["eval_batch_size"], low=1, high=CIFAR10_TEST_SIZE)


def check_sizes(settings: Mapping[str, Any], *, train: int) -> None:
    """Check the settings against a source of `train` training images.

    Raises:
        ValueError: Naming the setting as on the command line, its value and what is allowed.

    >>> check_sizes({"val_size": 100, "train_limit": None, "batch_size": 64}, train=100)
    Traceback (most recent call last):
    ...
    ValueError: data.val_size must be a whole number from 0 to 99, got 100
    """
    check_integer("data.val_size", settings["val_size"], low=0, high=train - 1)
    available = train - settings["val_size"]
    if settings["train_limit"] is not None:
        check_integer("data.train_limit", settings["train_limit"], low=1, high=available)
        available = settings["train_limit"]
    check_integer("data.batch_size", settings["batch_size"], low=1, high=available)
