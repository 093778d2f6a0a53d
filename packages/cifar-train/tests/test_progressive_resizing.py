import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from cifar_data import CIFAR10DataModule
from cifar_train.training.module import LitClassifier
from cifar_train.training.progressive_resizing import LowResolution, shrink

pytestmark = pytest.mark.numeric


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
    data = CIFAR10DataModule(
        source="synthetic", batch_size=50, val_size=0, train_limit=300, cache_dir=str(tmp_path)
    )
    resizing = LowResolution(until=0.5, size=16)
    model = LitClassifier(architecture="whitenet", arguments={"widths": [8, 8, 8]}, low_resolution=resizing)
    sides = []
    model.net.register_forward_pre_hook(lambda net, args: sides.append(args[0].shape[2]))
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    assert sides == [16] * 6 + [32] * 6
