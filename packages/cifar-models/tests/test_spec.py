"""The contract itself, and the arithmetic of normalisation."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_models import CIFAR10, InputSpec

LEVELS = torch.arange(256, dtype=torch.uint8).repeat_interleave(3).reshape(1, 16, 16, 3)

means = st.tuples(*[st.floats(0, 1)] * 3)
stds = st.tuples(*[st.floats(1e-6, 1)] * 3)
class_names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1)


def changed(**values):
    return {**CIFAR10.to_dict(), **values}


def test_published_values():
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert CIFAR10.classes == names
    np.testing.assert_allclose(CIFAR10.mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(CIFAR10.std, [0.2470, 0.2435, 0.2616], atol=5e-5)
    assert CIFAR10.size == 32


@given(mean=means, std=stds)
def test_denormalize_undoes_normalize_for_every_level(mean, std):
    spec = dataclasses.replace(CIFAR10, mean=mean, std=std)
    assert torch.equal(spec.denormalize(spec.normalize(LEVELS)), LEVELS)


def test_normalize_agrees_with_the_formula_in_double_precision():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    expected = (pixels / 255 - np.array(CIFAR10.mean)) / np.array(CIFAR10.std)
    ours = CIFAR10.normalize(pixels)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), expected.transpose(0, 3, 1, 2), rtol=0, atol=1e-6)


def test_normalize_agrees_with_torchvision():
    transforms = pytest.importorskip(
        "torchvision.transforms", reason="torchvision is the oracle of normalize"
    )
    image = Image.fromarray(LEVELS[0].numpy())
    theirs = transforms.Normalize(CIFAR10.mean, CIFAR10.std)(transforms.ToTensor()(image))
    torch.testing.assert_close(CIFAR10.normalize(LEVELS)[0], theirs, rtol=0, atol=1e-6)


def test_normalize_takes_tensors_arrays_views_and_read_only_memory():
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    expected = CIFAR10.normalize(torch.from_numpy(pixels.copy()))
    frozen = pixels.copy()
    frozen.flags.writeable = False
    assert torch.equal(CIFAR10.normalize(frozen), expected)
    assert torch.equal(CIFAR10.normalize(pixels[::-1]), expected.flip(0))
    assert torch.equal(CIFAR10.normalize(pixels[:, :, ::-1]), expected.flip(3))
    assert expected.is_contiguous(memory_format=torch.channels_last)
    assert CIFAR10.normalize(pixels[:0]).shape == (0, 3, 8, 6)


def test_normalize_leaves_its_input_alone():
    for pixels in (LEVELS.clone(), LEVELS.numpy().copy()):
        CIFAR10.normalize(pixels)
        assert np.array_equal(np.asarray(pixels), LEVELS.numpy())


def test_denormalize_rounds_and_clips():
    identity = dataclasses.replace(CIFAR10, mean=(0.0,) * 3, std=(1.0,) * 3)
    values = torch.tensor([-9.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 2.0, float("inf"), float("-inf")])
    pixels = identity.denormalize(values.expand(1, 3, 1, 7))
    assert pixels[0, 0, :, 0].tolist() == [0, 0, 1, 255, 255, 255, 0]


def test_denormalize_keeps_a_gradient_carrying_input():
    x = CIFAR10.normalize(LEVELS).requires_grad_()
    before = x.detach().clone()
    assert torch.equal(CIFAR10.denormalize(x), LEVELS)
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 8, 8, 3)),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 3, 8, 8), np.uint8),
        torch.zeros(1, 8, 8, 3),
    ],
)
def test_normalize_refuses(wrong):
    with pytest.raises(ValueError, match=r"images must be uint8 of shape \(N, H, W, 3\), got "):
        CIFAR10.normalize(wrong)


def test_normalize_refuses_lists():
    with pytest.raises(TypeError, match="numpy array or a tensor, got list"):
        CIFAR10.normalize([[1]])


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8), torch.zeros(1, 8, 8, 3)]
)
def test_denormalize_refuses(wrong):
    with pytest.raises(ValueError, match=r"floating-point of shape \(N, 3, H, W\), got "):
        CIFAR10.denormalize(wrong)


def test_denormalize_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        CIFAR10.denormalize(torch.full((1, 3, 2, 2), float("nan")))


@given(
    classes=st.lists(class_names, min_size=2, unique=True), mean=means, std=stds, size=st.integers(16, 1024)
)
def test_survives_json(classes, mean, std, size):
    spec = InputSpec(classes=tuple(classes), mean=mean, std=std, size=size)
    again = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", ["a"] * 10),
        ("classes", ["a", "b", "a"]),
        ("classes", ["a"]),
        ("classes", []),
        ("classes", "abcdefghij"),
        ("classes", [*"abcdefghi", 9]),
        ("classes", [*"abcdefghi", ""]),
        ("classes", [*"abcdefghi", "\x1b[31m"]),
        ("classes", [*"abcdefghi", ["j"]]),
        ("mean", [125.3, 122.9, 113.9]),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("mean", [0.5, 0.5, float("inf")]),
        ("mean", [0.5, 0.5, 10**400]),
        ("mean", [0.5, 0.5, "0.5"]),
        ("mean", 0.5),
        ("std", [0.2, 0.2, 0.0]),
        ("std", [0.2, 0.2, -0.2]),
        ("std", [62.9, 62.1, 66.7]),
        ("std", None),
        ("size", 15),
        ("size", 10**9),
        ("size", 32.0),
        ("size", True),
    ],
)
def test_from_dict_names_what_is_wrong(key, value):
    with pytest.raises(ValueError, match=f"^{key} must be "):
        InputSpec.from_dict(changed(**{key: value}))


@pytest.mark.parametrize("values", [{}, changed(extra=1), [], None, "spec"])
def test_from_dict_wants_exactly_the_keys(values):
    with pytest.raises(ValueError, match="must have exactly the keys"):
        InputSpec.from_dict(values)
