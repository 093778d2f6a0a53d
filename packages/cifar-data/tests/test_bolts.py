import subprocess
import sys

import numpy as np
import pytest
import torch

import cifar_data.datamodule
from cifar_data.augmentation.batch_ops import normalize_batch
from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.loaders.bolts import import_bolts
from cifar_data.sources.synthetic import make_synthetic

REASON = "the extra bolts is not installed"
DATASET = make_synthetic(train_size=60, test_size=20, seed=0)


@pytest.fixture
def module(monkeypatch) -> CIFAR10DataModule:
    try:
        import_bolts()
    except ImportError:
        pytest.skip(REASON)
    monkeypatch.setattr(cifar_data.datamodule, "open_dataset", lambda root, *, source, cache_dir: DATASET)
    return CIFAR10DataModule(
        source="synthetic", loader="bolts", batch_size=8, eval_batch_size=7, val_size=10, num_workers=0
    )


def collect(loader) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_the_split_is_the_one_of_bolts(module):
    module.setup("fit")
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).numpy()
    assert module.train_indices.tolist() == sorted(order[:50])
    assert module.val_indices.tolist() == sorted(order[50:])


def test_batches_are_those_of_the_interface(module):
    module.setup("fit")
    batches = list(module.train_dataloader())
    assert [len(labels) for _, labels in batches] == [8] * 6
    for images, labels in batches:
        assert images.shape == (8, 3, 32, 32)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_is_in_order_and_only_normalised(module):
    for split, indices, loader in (
        (DATASET.train, module.val_indices, module.val_dataloader()),
        (DATASET.test, np.arange(20), module.test_dataloader()),
    ):
        images, labels = collect(loader)
        exact = normalize_batch(torch.from_numpy(split.images[indices]), DATASET.mean, std=DATASET.std)
        assert torch.equal(images, exact)
        assert labels.tolist() == split.labels[indices].tolist()


def test_epochs_repeat_to_the_bit_and_differ_from_each_other(module):
    epochs = []
    for epoch in (0, 1, 0):
        loader = module.train_dataloader()
        loader.sampler.set_epoch(epoch)
        epochs.append(collect(loader)[0])
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_no_validation_images_are_possible(module):
    module.val_size = 0
    assert module.train_size == 60
    assert module.val_dataloader() == []


def test_the_import_warns_of_nothing_and_changes_no_filter(module):
    code = """
import sys, warnings
import cifar_data.datamodule
from cifar_data.loaders.bolts import import_bolts
assert "pl_bolts" not in sys.modules
warnings.simplefilter("error")
filters = list(warnings.filters)
import_bolts()
assert list(warnings.filters) == filters
print("imported")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "pl_bolts" not in done.stderr
    assert done.stdout.endswith("imported\n")


def test_what_to_install_is_said_when_bolts_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pl_bolts", None)
    monkeypatch.setitem(sys.modules, "pl_bolts.datamodules", None)
    with pytest.raises(ImportError, match=r'needs Lightning Bolts .*pip install "cifar-data\[bolts\]"'):
        import_bolts()
