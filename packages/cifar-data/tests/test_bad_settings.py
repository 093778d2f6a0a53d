"""Settings out of their range: the error names the setting, its value and what is allowed."""

from functools import partial

import numpy as np
import pytest

from cifar_data import Augmentation, CIFAR10DataModule, TensorLoader, make_synthetic, stratified_split

IMAGES, LABELS = np.zeros((21, 32, 32, 3), np.uint8), np.arange(21)
CHANNELS = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}

data = CIFAR10DataModule
loader = partial(TensorLoader, images=IMAGES, labels=LABELS, batch_size=8, **CHANNELS)
split = partial(stratified_split, np.zeros(10, np.int64), seed=0)
PREFIXES = {Augmentation: "data.augmentation.", data: "data."}


@pytest.mark.parametrize(
    ("call", "name", "value", "message"),
    [
        *((Augmentation, "padding", wrong, "must be a whole number from 0 to 31") for wrong in (-1, 32, 1.5)),
        (Augmentation, "cutout", 33, "must be a whole number from 0 to 32, got 33"),
        (Augmentation, "padding_mode", "reflection", "must be one of constant, .* did you mean reflect"),
        (Augmentation, "flip", True, "must be one of random, alternate, none, got True"),
        (Augmentation, "contrast", 1, "must be a number from 0 to below 1, got 1"),
        *((Augmentation, "brightness", wrong, "must be a number from 0") for wrong in (-0.1, np.nan, "0.1")),
        (data, "loader", "tensors", "must be one of tensor, albumentations, bolts, .*; did you mean tensor"),
        (data, "source", "parket", "must be one of .*did you mean parquet"),
        (data, "batch_size", 0, "must be a whole number of at least 1, got 0"),
        (data, "batch_size", 45_001, "must be a whole number from 1 to 45000, got 45001"),
        (data, "eval_batch_size", 0, "must be a whole number of at least 1, got 0"),
        (data, "eval_batch_size", 10_001, "must be a whole number from 1 to 10000, got 10001"),
        (data, "val_size", 50_000, "must be a whole number from 0 to 49999, got 50000"),
        (data, "val_size", -1, "must be a whole number of at least 0, got -1"),
        (data, "split_seed", -1, "must be a whole number from 0 to 4294967295, got -1"),
        (data, "seed", 2**32, "must be a whole number from 0 to 4294967295, got 4294967296"),
        (data, "num_workers", -1, "must be a whole number of at least 0, got -1"),
        (data, "train_limit", 0, "must be a whole number of at least 1, got 0"),
        (data, "train_limit", 45_001, "must be a whole number from 1 to 45000, got 45001"),
        (loader, "batch_size", 0, ""),
        (loader, "rank", 2, ""),
        (loader, "indices", LABELS[:0], "must name at least one image, got none"),
        (loader, "labels", LABELS[:-1], "must be as many as the 21 images, got 20"),
        *((split, "val_size", wrong, "must be a whole number from 0 to 10") for wrong in (-1, 11, True)),
        (make_synthetic, "train_size", 9, "must be a whole number of at least 10"),
        (make_synthetic, "test_size", 9, "must be a whole number of at least 10"),
        (make_synthetic, "seed", -1, "must be a whole number of at least 0"),
    ],
)
def test_a_setting_out_of_range_is_named_before_any_data_is_read(call, name, value, message, monkeypatch):
    monkeypatch.setattr("cifar_data.datamodule.open_dataset", lambda *_, **__: pytest.fail("data was read"))
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)  # so that the images can only be CIFAR-10
    with pytest.raises(ValueError, match=f"{PREFIXES.get(call, '')}{name} {message}"):
        call(**{name: value})
