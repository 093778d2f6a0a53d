import numpy as np
import pytest

from cifar_data.augmentation.policy import NO_AUGMENTATION
from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.preview import render_preview

pytestmark = pytest.mark.usefixtures("small")


def find(table, image):
    """The places (top, left) of an image in a table."""
    windows = np.lib.stride_tricks.sliding_window_view(table, image.shape)[:, :, 0]
    corners = np.argwhere((windows[:, :, 0, 0] == image[0, 0]).all(axis=-1))
    return [(top, left) for top, left in corners.tolist() if (windows[top, left] == image).all()]


def make(**options):
    return CIFAR10DataModule(source="synthetic", batch_size=8, val_size=150, **options)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("loader", ["tensor", "albumentations"])
def test_each_row_shows_a_training_image_and_without_augmentation_nothing_else(loader, scale):
    module = make(loader=loader, augmentation=NO_AUGMENTATION)
    tables = [render_preview(module, rows=3, columns=columns, scale=scale) for columns in (2, 4, 4)]
    assert tables[0].width < tables[1].width
    assert tables[1].tobytes() == tables[2].tobytes()
    images = module.dataset.train.images[module.train_indices].repeat(scale, axis=1).repeat(scale, axis=2)
    places = [place for image in images for place in find(np.asarray(tables[0]), image)]
    assert len(places) == 3 * 2
    assert len({top for top, _ in places}) == 3
    lefts = [left for _, left in places]
    assert all(abs(one - other) >= 32 * scale for one, other in zip(lefts[::2], lefts[1::2], strict=True))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("rows", 51, "from 1 to 50"), ("columns", 1, "of at least 2"), ("scale", 0, "of at least 1")],
)
def test_an_argument_out_of_range_is_named(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name} must be a whole number {allowed}, got {value}"):
        render_preview(make(), **{name: value})
