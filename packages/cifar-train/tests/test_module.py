"""The steps of a training, test-time augmentation and progressive resizing."""

import copy

import lightning as L
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional as F

from cifar_data import CIFAR10DataModule
from cifar_train.training.module import LitClassifier
from cifar_train.training.progressive_resizing import LowResolution, shrink
from cifar_train.training.tta import tta_logits

pytestmark = pytest.mark.numeric


SMALL = {"architecture": "whitenet", "arguments": {"widths": [8, 8, 8]}}


def batch(count=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator), torch.arange(count) % 10


@pytest.fixture
def model(monkeypatch):
    """A small classifier with its logged values in `logged`, and the number format of each forward pass in `passes`."""
    model = LitClassifier(**SMALL)
    model.logged, model.passes = {}, []
    monkeypatch.setattr(model, "log", lambda name, value, **_: model.logged.__setitem__(name, float(value)))
    model.net.register_forward_hook(lambda net, images, logits: model.passes.append(logits.dtype))
    return model


@pytest.mark.parametrize("size", [None, 4])
def test_training_loss_is_the_smoothed_cross_entropy_of_each_micro_batch(monkeypatch, size):
    model = LitClassifier(**SMALL, label_smoothing=0.2, micro_batch=size)
    monkeypatch.setattr(model, "log", lambda name, value, **_: logged.__setitem__(name, float(value)))
    images, labels = batch()
    logged, targets = {}, torch.full((8, 10), 0.02)
    targets[torch.arange(8), labels] = 0.82
    loss = model.training_step((images, labels), 0)
    logs = torch.cat([F.log_softmax(model.net(part), 1) for part in images.split(size or 8)])
    torch.testing.assert_close(loss, -(targets * logs).sum(1).mean(), rtol=1e-4, atol=1e-5)
    assert logged["train_loss"] == pytest.approx(loss.item())


@torch.no_grad()
def test_test_metrics_are_those_of_tta_logits_by_default_in_two_passes_and_validation_in_one(model):
    model.eval()
    images, labels = batch(64)
    model.validation_step((images, labels), 0)
    model.test_step((images, labels), 0)
    assert len(model.passes) == 1 + 2
    model.tta = "flip_and_shift"
    model.test_step((images, labels), 0)
    logits = tta_logits(model.net, images)
    for name, tta in {"": "none", "_flip": "flip", "_tta": "flip_and_shift"}.items():
        accuracy = (logits[tta].argmax(1) == labels).float().mean().item()
        assert model.logged[f"test_accuracy{name}"] == pytest.approx(accuracy)
    loss = F.cross_entropy(logits["none"], labels).item()
    assert model.logged["test_loss"] == pytest.approx(loss, rel=1e-4)


@torch.no_grad()
def test_only_validation_and_shifted_copies_take_the_quicker_format(model):
    model.eval()
    model.tta = "flip_and_shift"
    images, labels = batch()
    with torch.autocast("cpu", torch.bfloat16):
        model.validation_step((images, labels), 0)
        model.test_step((images, labels), 0)
    assert model.passes == [torch.bfloat16] + [torch.float32] * 2 + [torch.bfloat16] * 4
    exact = F.cross_entropy(model.net(images), labels).item()
    assert model.logged["test_loss"] == pytest.approx(exact, rel=1e-5)
    assert model.logged["val_loss"] == pytest.approx(exact, rel=0.02)


@torch.no_grad()
@pytest.mark.parametrize(("stage", "logged"), [("validation", "val_loss"), ("test", "test_loss")])
def test_evaluation_uses_a_fused_copy_of_the_present_network_and_keeps_none(model, stage, logged):
    images, labels = batch()
    names, mode = list(model.state_dict()), model.net.training
    for value in (0.5, 2.0):
        model.net.layer3.norm2.running_var.fill_(value)
        getattr(model, f"on_{stage}_epoch_start")()
        assert list(model.state_dict()) == names
        assert not any(isinstance(module, nn.Identity) for module in model.modules())
        model.passes.clear()
        getattr(model, f"{stage}_step")((images, labels), 0)
        assert not model.passes
        getattr(model, f"on_{stage}_epoch_end")()
        expected = F.cross_entropy(copy.deepcopy(model.net).eval()(images), labels).item()
        assert model.logged[logged] == pytest.approx(expected, rel=1e-4)
    assert model.net.training is mode
    model.passes.clear()
    model.eval().validation_step((images, labels), 0)
    assert len(model.passes) == 1


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.integers(0, 2**16))
@torch.no_grad()
def test_tta_is_the_published_evaluation(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(3 * height * width, 5, generator=generator, dtype=torch.float64)

    def model(augmented):
        # Not linear, or means of images and of logits could not be told apart.
        return torch.tanh(augmented.flatten(1) @ weight)

    def with_mirror_image(pixels):
        copies = (torch.from_numpy(np.ascontiguousarray(copy)) for copy in (pixels, pixels[:, :, ::-1]))
        return [model(copy[None])[0] for copy in copies]

    found = tta_logits(model, images)
    for tta, names in {"none": ["none"], "flip": ["none", "flip"]}.items():
        lesser = tta_logits(model, images, tta=tta)
        assert list(lesser) == names
        assert all(torch.equal(lesser[name], found[name]) for name in names)
    for index, image in enumerate(images.numpy()):
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")
        none, mirrored = with_mirror_image(image)
        shifted = [*with_mirror_image(padded[:, :-2, :-2]), *with_mirror_image(padded[:, 2:, 2:])]
        flip = (none + mirrored) / 2
        expected = {"none": none, "flip": flip, "flip_and_shift": flip / 2 + sum(shifted) / 8}
        ours = {name: logits[index] for name, logits in found.items()}
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", [16, 20, 24, 31])
def test_shrinking_is_what_pillow_does(side):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = shrink(images, side)
    assert found.shape == (2, 3, side, side)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for channel, small in zip(images.flatten(0, 1), found.flatten(0, 1), strict=True):
        expected = Image.fromarray(channel.numpy(), mode="F").resize((side, side), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(small.numpy(), np.asarray(expected), atol=1e-5)
    assert shrink(images, 32) is images


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_a_run_changes_over_at_its_share_of_the_steps(tmp_path, precision):
    small = {"source": "synthetic", "batch_size": 50, "val_size": 0, "train_limit": 300}
    data = CIFAR10DataModule(**small, cache_dir=str(tmp_path))
    resizing = LowResolution(until=0.5, size=16)
    model = LitClassifier(**SMALL, low_resolution=resizing)
    sides = []
    model.net.register_forward_pre_hook(lambda net, args: sides.append(args[0].shape[2]))
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    assert sides == [16] * 6 + [32] * 6
