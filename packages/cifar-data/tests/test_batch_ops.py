import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_data.augmentation.batch_ops import jitter_batch, normalize_batch
from cifar_data.augmentation.policy import Augmentation, AugmentationParameters, draw_parameters
from cifar_data.loaders.albumentations import import_albumentations, make_pipeline
from cifar_data.loaders.tensor import TensorLoader

pytestmark = pytest.mark.numeric

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def random_images(count, *, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def make_loader(images, augmentation, **options):
    options = {"mean": MEAN, "std": STD, "batch_size": 1} | options
    return TensorLoader(images, np.zeros(len(images), np.int64), augmentation=augmentation, **options)


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
    order = np.random.default_rng(seed).permutation(count)
    loader = make_loader(images, augmentation, mean=(1 / 255, 2 / 255, 3 / 255), std=(1, 1, 1), seed=seed)
    batch = loader.batch(torch.from_numpy(order), epoch=1).permute(0, 2, 3, 1)
    drawn = draw_parameters(count, augmentation, seed=seed, epoch=1, size=size)
    for position, image in zip(order, batch, strict=True):
        (top, left), (hole_top, hole_left) = drawn.crop[position], drawn.hole[position]
        padded = np.pad(images[position], ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        expected = padded[top : top + size, left : left + size].copy()
        if drawn.flip[position]:
            expected = expected[:, ::-1].copy()
        expected[hole_top : hole_top + cutout, hole_left : hole_left + cutout] = (1, 2, 3)
        assert np.array_equal((image * 255).round() + torch.tensor([1, 2, 3]), expected)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_equal_to_albumentations_for_the_same_parameters(mode, assert_close, monkeypatch):
    augmentation = Augmentation(padding_mode=mode)
    steps = list(make_pipeline(augmentation, mean=MEAN, std=STD))
    pipeline = import_albumentations().Compose(steps, seed=0, save_applied_params=True)
    images = random_images(64)
    results = [pipeline(image=image) for image in images]
    crops, flips, holes = [], [], []
    for applied in (dict(result["applied_transforms"]) for result in results):
        left, top, _, _ = applied["RandomCrop"]["crop_coords"]
        hole_left, hole_top, hole_right, hole_bottom = applied["CoarseDropout"]["holes"][0].tolist()
        assert (hole_right - hole_left, hole_bottom - hole_top) == (8, 8)
        crops.append((top, left))
        flips.append("HorizontalFlip" in applied)
        holes.append((hole_top, hole_left))
    assert 0 < sum(flips) < 64
    drawn = AugmentationParameters(*map(torch.tensor, (crops, flips, holes)), *torch.ones(2, 64))
    monkeypatch.setattr("cifar_data.augmentation.policy.draw_parameters", lambda *_, **__: drawn)
    ours = make_loader(images, augmentation).batch(torch.arange(64), epoch=0)
    assert_close(ours, torch.stack([result["image"] for result in results]))


def test_jitter_is_albumentations_color_jitter_up_to_its_roundings():
    augmentation = Augmentation(padding=0, cutout=0, brightness=0.3, contrast=0.6)
    _, jitter, *_ = make_pipeline(augmentation, mean=MEAN, std=STD)
    pipeline = import_albumentations().Compose([jitter], seed=0, save_applied_params=True)
    # In the middle, so that nothing is cut off between the two changes: there the orders differ.
    images = random_images(200) // 2 + 60
    results = [pipeline(image=image) for image in images]
    drawn = [dict(result["applied_transforms"])["ColorJitter"] for result in results]
    brightness, contrast = (torch.tensor([one[name] for one in drawn]) for name in ("brightness", "contrast"))
    assert (brightness - 1).abs().max() <= 0.3
    assert (contrast - 1).abs().max() > 0.5
    ours = jitter_batch(torch.from_numpy(images), brightness, contrast=contrast).int().numpy()
    expected = np.stack([result["image"] for result in results]).astype(int)
    kept = (expected > 0) & (expected < 255)
    assert kept.mean() > 0.9
    assert np.abs(ours - expected)[kept].max() <= 2
    assert np.abs(ours - images).mean() > 10


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
