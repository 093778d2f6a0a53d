import dataclasses
import pickle
import sys
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

from cifar_data.augmentation.batch_ops import normalize_batch
from cifar_data.augmentation.policy import Augmentation
from cifar_data.datamodule import CIFAR10DataModule
from cifar_data.loaders.bolts import import_bolts

TRAIN, TEST = 200, 40

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def bolts():
    try:
        import_bolts()
    except ImportError:
        pytest.skip("the extra bolts is not installed")


@pytest.fixture(params=["tensor", "albumentations", "bolts"])
def loader(request):
    if request.param == "bolts":
        request.getfixturevalue("bolts")
    return request.param


def make(**options):
    sizes = {"batch_size": 16, "eval_batch_size": 15, "val_size": 50, "num_workers": 0}
    return CIFAR10DataModule(**({"source": "synthetic"} | sizes | options))


def collect(loader):
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


class Recorder(L.LightningModule):
    """Records the batches that Lightning passes on."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained, self.validated, self.tested = [], [], []

    def training_step(self, batch, batch_index):
        self.trained.append((self.current_epoch, float(batch[0].sum())))
        return self.layer(batch[0].mean().view(1, 1)).sum()

    def validation_step(self, batch, batch_index):
        self.validated.append(batch[1])

    def test_step(self, batch, batch_index):
        self.tested += batch[1].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def make_trainer(tmp_path):
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options = {"accelerator": "cpu", "default_root_dir": tmp_path, **dict.fromkeys(quiet, False)}
    return lambda **more: L.Trainer(**options, **more)


def test_each_loader_gives_the_promised_batches(loader, small, assert_close):
    module = make(loader=loader)
    module.setup("fit")
    sizes = [len(labels) for _, labels in module.train_dataloader()]
    assert sizes == [16] * 9  # of 150, the 6 left over are dropped
    for indices, split, batches in (
        (module.val_indices, small.train, module.val_dataloader()),
        (np.arange(TEST), small.test, module.test_dataloader()),
    ):
        images, labels = collect(batches)
        assert labels.tolist() == split.labels[indices].tolist()
        exact = normalize_batch(torch.from_numpy(split.images[indices]), small.mean, std=small.std)
        assert_close(images, exact)
    empty = make(loader=loader, val_size=0)
    assert empty.train_size == TRAIN
    assert empty.val_dataloader() == []


def test_the_split_and_what_is_kept_of_it_are_stratified():
    module = make()
    labels = module.dataset.train.labels
    assert sorted([*module.train_indices, *module.val_indices]) == list(range(TRAIN))
    assert np.bincount(labels[module.val_indices]).tolist() == [5] * 10
    assert module.train_size == 150
    for name in ("classes", "mean", "std", "fingerprint"):
        assert getattr(module, name) == getattr(module.dataset, name)
    assert not np.array_equal(make(split_seed=1).val_indices, module.val_indices)
    assert np.array_equal(make(seed=1).val_indices, module.val_indices)
    limited = make(train_limit=30)
    assert np.array_equal(limited.val_indices, module.val_indices)
    assert set(limited.train_indices) < set(module.train_indices)
    assert np.bincount(labels[limited.train_indices]).tolist() == [3] * 10


def test_bolts_splits_as_it_does_by_itself(bolts):
    module = make(loader="bolts")
    order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(0)).numpy()
    assert module.train_indices.tolist() == sorted(order[:150])
    assert module.val_indices.tolist() == sorted(order[150:])


def test_a_resumed_run_sees_the_epochs_that_an_unbroken_one_saw(loader, make_trainer, tmp_path):
    unbroken, resumed, path = Recorder(), Recorder(), tmp_path / "two.ckpt"
    make_trainer(max_epochs=3).fit(unbroken, datamodule=make(loader=loader))
    assert len({total for _, total in unbroken.trained}) == len(unbroken.trained) == 27
    trainer = make_trainer(max_epochs=2)
    trainer.fit(Recorder(), datamodule=make(loader=loader))
    trainer.save_checkpoint(path)
    options = {"ckpt_path": path, "weights_only": True}
    make_trainer(max_epochs=3).fit(resumed, datamodule=make(loader=loader), **options)
    assert resumed.trained == [note for note in unbroken.trained if note[0] == 2]


def test_overfitting_gives_the_same_batches_in_every_epoch(loader, make_trainer):
    recorder, trainer = Recorder(), make_trainer(max_epochs=2, overfit_batches=2)
    trainer.fit(recorder, datamodule=make(loader=loader, eval_batch_size=10))
    totals = [total for _, total in recorder.trained]
    assert len(set(totals[:2])) == 2
    assert totals[:2] == totals[2:]
    assert len(recorder.validated) == 2 * 2 + 2  # and two batches before the training


def test_the_test_images_are_not_accessed_before_the_test(make_trainer, small):
    class Forbidden:
        def __len__(self):
            return TEST

        def __getattr__(self, name):
            raise AssertionError(f"the test split's {name} were accessed")

    module = make()
    module.dataset = dataclasses.replace(small, test=Forbidden())
    make_trainer(max_epochs=1).fit(Recorder(), datamodule=module)
    module.train_inputs(3)
    with pytest.raises(AssertionError, match=r"the test split's .* were accessed"):
        module.test_dataloader()


def test_a_test_uses_every_test_image_in_order_and_ignores_the_training_sizes(make_trainer, small):
    module, recorder = make(val_size=TRAIN, batch_size=10 * TRAIN, train_limit=5 * TRAIN), Recorder()
    make_trainer().test(recorder, datamodule=module, verbose=False)
    assert recorder.tested == small.test.labels.tolist()


@pytest.mark.parametrize("loader", ["tensor", "albumentations"])
def test_processes_share_the_images(loader):
    single = make(loader=loader, batch_size=32).train_dataloader()
    shards = []
    for rank in (0, 1):
        module = make(loader=loader)
        module.trainer = SimpleNamespace(world_size=2, num_devices=2, global_rank=rank)
        shards.append(module.train_dataloader())
        assert isinstance(shards[-1].sampler, DistributedSampler)  # or Lightning would replace it
    for (whole, _), (first, _), (second, _) in zip(single, *shards, strict=True):
        interleaved = torch.stack([first, second], dim=1).flatten(0, 1)
        assert torch.equal(whole, interleaved)
    module.batch_size = 100
    with pytest.raises(ValueError, match=r"data.batch_size must be at most 75, .* 2 processes, got 100"):
        module.train_dataloader()


def test_train_inputs_are_plain_training_images(small):
    module = make()
    inputs = module.train_inputs(20, seed=1)
    assert inputs.shape == (20, 3, 32, 32)
    assert torch.equal(inputs, make().train_inputs(20, seed=1))
    assert not torch.equal(inputs, module.train_inputs(20, seed=2))
    images = torch.from_numpy(small.train.images[module.train_indices])
    known = {image.numpy().tobytes() for image in normalize_batch(images, small.mean, std=small.std)}
    found = {image.numpy().tobytes() for image in inputs}
    assert len(found) == 20
    assert found <= known
    with pytest.raises(ValueError, match="count must be a whole number from 1 to 150, got 151"):
        module.train_inputs(151)


def test_the_hyperparameters_are_plain_and_rebuild_the_module(make_trainer, tmp_path):
    module = make(augmentation=Augmentation(padding=2, flip="alternate"))
    trainer = make_trainer(max_epochs=1)
    trainer.fit(Recorder(), datamodule=module)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = CIFAR10DataModule.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert loaded.augmentation == module.augmentation
    assert loaded.batch_size == 16
    assert pickle.loads(pickle.dumps(dict(module.hparams))) == dict(loaded.hparams)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_size": 60_000, "batch_size": 70_000}, "data.val_size must be a whole number from 0 to 199"),
        ({"batch_size": 151}, "data.batch_size must be a whole number from 1 to 150, got 151"),
        ({"train_limit": 151}, "data.train_limit must be a whole number from 1 to 150, got 151"),
        ({"train_limit": 10}, "data.batch_size must be a whole number from 1 to 10, got 16"),
    ],
)
@pytest.mark.parametrize("given", ["root", "variable"])
def test_sizes_of_given_images_are_checked_once_they_are_found(options, message, given, monkeypatch):
    monkeypatch.setenv("CIFAR_DATA_DIR", "own" if given == "variable" else "")
    module = make(root="own" if given == "root" else None, source="auto", **options)
    for use in (lambda: module.setup("fit"), module.val_dataloader, lambda: module.train_inputs(1)):
        with pytest.raises(ValueError, match=message):
            use()


def test_without_bolts_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pl_bolts", None)
    monkeypatch.setitem(sys.modules, "pl_bolts.datamodules", None)
    with pytest.raises(ImportError, match=r'Lightning Bolts .*pip install "cifar-data\[bolts\]"'):
        import_bolts()
