import numpy as np
import pytest

from cifar_data.augmentation.policy import Augmentation
from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.preview import render_preview

pytestmark = pytest.mark.usefixtures("small")


def make_module(**options) -> CIFAR10DataModule:
    return CIFAR10DataModule(source="synthetic", batch_size=8, val_size=150, **options)


def contains(table: np.ndarray, picture: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(table, picture.shape)[:, :, 0]
    corner = (windows[:, :, 0, 0] == picture[0, 0]).all(axis=-1)
    return any((window == picture).all() for window in windows[corner])


@pytest.mark.parametrize("loader", ["tensor", "albumentations"])
def test_without_augmentation_every_image_of_a_row_is_the_original(loader):
    plain = Augmentation(padding=0, flip="none", cutout=0)
    module = make_module(loader=loader, augmentation=plain)
    table = np.asarray(render_preview(module, rows=2, columns=3, scale=1))
    images = module.dataset.train.images[module.train_indices]
    shown = [image for image in images if contains(table, image)]
    assert len(shown) == 2


def test_the_originals_are_shown_at_the_scale_asked_for():
    module = make_module()
    table = np.asarray(render_preview(module, rows=3, columns=4, scale=2))
    enlarged = module.dataset.train.images[module.train_indices].repeat(2, axis=1).repeat(2, axis=2)
    assert sum(contains(table, image) for image in enlarged) == 3


def test_the_preview_repeats_and_grows_with_the_table():
    first, again = (render_preview(make_module(), rows=2, columns=3) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    larger = render_preview(make_module(), rows=4, columns=5)
    assert larger.width > first.width
    assert larger.height > first.height


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows must be a whole number from 1 to 50, got 0"),
        ({"rows": 51}, "rows must be a whole number from 1 to 50, got 51"),
        ({"columns": 1}, "columns must be a whole number of at least 2, got 1"),
        ({"scale": 0}, "scale must be a whole number of at least 1, got 0"),
    ],
)
def test_an_argument_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        render_preview(make_module(), **options)
