import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_data.augmentation.batch_ops import (
    crop_batch,
    cutout_batch,
    flip_batch,
    jitter_batch,
    normalize_batch,
    pad_batch,
)
from cifar_data.augmentation.policy import Augmentation, AugmentationParameters, draw_parameters, mean_colour
from cifar_data.loaders.albumentations import import_albumentations, make_pipeline
from cifar_data.loaders.tensor import augment_batch

pytestmark = pytest.mark.numeric

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def random_images(count: int, *, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    )


def one_by_one(image: np.ndarray, *, padding, mode, crop, flip, hole, cutout, fill) -> np.ndarray:
    """The same in plain numpy for one image."""
    size = len(image)
    image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)
    image = image[crop[0] : crop[0] + size, crop[1] : crop[1] + size].copy()
    if flip:
        image = image[:, ::-1].copy()
    image[hole[0] : hole[0] + cutout, hole[1] : hole[1] + cutout] = fill
    return image


@settings(deadline=None)
@given(
    count=st.integers(1, 9),
    size=st.integers(4, 12),
    padding=st.integers(0, 3),
    mode=st.sampled_from(["constant", "reflect"]),
    flip=st.sampled_from(["random", "alternate", "none"]),
    cutout=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_a_batch_is_what_its_images_are_one_by_one(count, size, padding, mode, flip, cutout, seed):
    images = random_images(count, size=size, seed=seed)
    augmentation = Augmentation(padding=padding, padding_mode=mode, flip=flip, cutout=cutout)
    drawn = draw_parameters(count, augmentation, seed=seed, epoch=1, size=size)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    padded = pad_batch(images, padding, mode=mode)
    parameters = drawn.take(order)
    result = augment_batch(
        padded, order, augmentation=augmentation, parameters=parameters, fill=(1, 2, 3), size=size
    )
    for position, image in zip(order.tolist(), result, strict=True):
        expected = one_by_one(
            images[position].numpy(),
            padding=padding,
            mode=mode,
            crop=drawn.crop[position].tolist(),
            flip=bool(drawn.flip[position]),
            hole=drawn.hole[position].tolist(),
            cutout=cutout,
            fill=(1, 2, 3),
        )
        assert np.array_equal(image.numpy(), expected)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_equal_to_albumentations_for_the_same_parameters(mode, assert_close):
    A = import_albumentations()
    augmentation = Augmentation(padding_mode=mode)
    steps = list(make_pipeline(augmentation, mean=MEAN, std=STD))
    pipeline = A.Compose(steps, seed=0, save_applied_params=True)
    images = random_images(64)
    expected, crops, flips, holes = [], [], [], []
    for image in images:
        result = pipeline(image=image.numpy())
        applied = dict(result["applied_transforms"])
        left, top, _, _ = applied["RandomCrop"]["crop_coords"]
        hole_left, hole_top, hole_right, hole_bottom = applied["CoarseDropout"]["holes"][0].tolist()
        assert (hole_right - hole_left, hole_bottom - hole_top) == (8, 8)
        expected.append(result["image"])
        crops.append((top, left))
        flips.append("HorizontalFlip" in applied)
        holes.append((hole_top, hole_left))
    assert 0 < sum(flips) < 64
    ones = torch.ones(64)
    drawn = AugmentationParameters(
        torch.tensor(crops), torch.tensor(flips), torch.tensor(holes), brightness=ones, contrast=ones
    )
    result = augment_batch(
        pad_batch(images, 4, mode=mode),
        torch.arange(64),
        augmentation=augmentation,
        parameters=drawn,
        fill=mean_colour(MEAN),
    )
    assert_close(normalize_batch(result, MEAN, std=STD), torch.stack(expected))


def test_jitter_is_albumentations_color_jitter_up_to_its_roundings():
    A = import_albumentations()
    augmentation = Augmentation(padding=0, cutout=0, brightness=0.3, contrast=0.6)
    _, jitter, *_ = make_pipeline(augmentation, mean=MEAN, std=STD)
    pipeline = A.Compose([jitter], seed=0, save_applied_params=True)
    # In the middle, so that nothing is cut off between the two changes: there the orders differ.
    images = random_images(200) // 2 + 60
    results = [pipeline(image=image.numpy()) for image in images]
    applied = [dict(result["applied_transforms"])["ColorJitter"] for result in results]
    brightness, contrast = (
        torch.tensor([one[name] for one in applied]) for name in ("brightness", "contrast")
    )
    assert (brightness - 1).abs().max() <= 0.3
    assert (contrast - 1).abs().max() > 0.5
    ours = jitter_batch(images, brightness, contrast=contrast)
    expected = torch.stack([torch.from_numpy(result["image"]) for result in results])
    kept = (expected > 0) & (expected < 255)
    assert kept.float().mean() > 0.9
    assert (ours.int() - expected.int())[kept].abs().max() <= 2
    assert (ours.int() - images.int()).abs().float().mean() > 10


@given(
    pixels=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=6),
    brightness=st.floats(0, 2, width=32),
    contrast=st.floats(0, 2, width=32),
)
def test_jitter_is_its_formula_pixel_by_pixel(pixels, brightness, contrast):
    image = torch.tensor(pixels, dtype=torch.uint8).view(1, 1, -1, 3)
    result = jitter_batch(image, torch.tensor([brightness]), contrast=torch.tensor([contrast]))
    grey = np.mean([0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in pixels])
    exact = np.clip(brightness * (contrast * np.array(pixels) + (1 - contrast) * grey), 0, 255)
    assert np.abs(result.view(-1, 3).numpy() - exact).max() <= 0.501


def test_every_pixel_value_is_normalised_as_the_formula_says():
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    result = normalize_batch(values, MEAN, std=STD)
    exact = (np.arange(256)[None] / 255 - np.array(MEAN)[:, None]) / np.array(STD)[:, None]
    np.testing.assert_allclose(result.reshape(3, 256).numpy(), exact, rtol=1e-5, atol=1e-6)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_the_input_is_left_as_it_was():
    images = random_images(3)
    before = images.clone()
    zeros = torch.zeros(3, 2, dtype=torch.int64)
    crop_batch(images, torch.arange(3), corners=zeros, size=32).fill_(0)
    flip_batch(images, torch.tensor([True, False, True])).fill_(0)
    jitter_batch(images, torch.ones(3), contrast=torch.ones(3)).fill_(0)
    cutout_batch(images, zeros, size=8, fill=(0, 0, 0))
    normalize_batch(images, MEAN, std=STD)
    assert torch.equal(images, before)
