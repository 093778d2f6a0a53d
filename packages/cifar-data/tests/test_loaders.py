"""The tensor loader and the Albumentations loader keep the same promises."""

import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from cifar_data.augmentation.batch_ops import normalize_batch
from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import Split
from cifar_data.loaders.albumentations import AlbumentationsDataset, import_albumentations, make_loader
from cifar_data.loaders.tensor import TensorLoader

COUNT = 21
CHANNELS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)}
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
IMAGES.setflags(write=False)  # as those of a memory map
DEFAULT = Augmentation()
LABELS = np.arange(COUNT)  # a label tells which image it belongs to

both = pytest.mark.parametrize("kind", ["tensor", "albumentations"])


def make(kind, *, augmentation=DEFAULT, indices=LABELS, seed=0, **options):
    options = {"batch_size": 4, "shuffle": True, "seed": seed} | options
    augment = {"augmentation": augmentation, **CHANNELS}
    if kind == "tensor":
        return TensorLoader(IMAGES, LABELS, indices=indices, **augment, **options)
    dataset = AlbumentationsDataset(Subset(Split(IMAGES, LABELS), indices), **augment, seed=seed)
    return make_loader(dataset, **{"num_workers": 0, **options})


def epoch_of(loader, epoch):
    loader.sampler.set_epoch(epoch)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def by_label(images, labels):
    return images[labels.argsort()]


@both
def test_batches_have_the_promised_shapes_and_every_image_once(kind):
    for drop_last, sizes in ((False, [4] * 5 + [1]), (True, [4] * 5)):
        batches = make(kind, drop_last=drop_last)
        assert [len(labels) for _, labels in batches] == sizes
        assert len(batches) == len(sizes)
    for images, labels in make(kind):
        assert images.shape == (len(labels), 3, 32, 32)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert sorted(epoch_of(make(kind), 0)[1].tolist()) == LABELS.tolist()


@both
def test_without_augmentation_and_shuffle_the_images_are_normalised_and_in_order(kind, assert_close):
    indices = np.array([7, 3, 20])
    images, labels = epoch_of(make(kind, indices=indices, augmentation=None, shuffle=False), 3)
    assert labels.tolist() == indices.tolist()
    assert_close(images, normalize_batch(torch.from_numpy(IMAGES[indices]), **CHANNELS))


@both
def test_epochs_repeat_to_the_bit_and_differ_from_each_other(kind):
    uninterrupted = make(kind)
    run = [epoch_of(uninterrupted, epoch) for epoch in range(3)]
    for one, other in zip(run[2], epoch_of(make(kind), 2), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(run[1][1], run[2][1])
    assert not torch.equal(by_label(*run[1]), by_label(*run[2]))
    assert not torch.equal(by_label(*epoch_of(make(kind, seed=1), 2)), by_label(*run[2]))
    assert epoch_of(make(kind, seed=1), 0)[1].tolist() != run[1][1].tolist()  # seed + epoch are equal
    if kind == "tensor":  # also batch by batch, out of order
        assert torch.equal(uninterrupted.batch(torch.arange(COUNT), epoch=1), by_label(*run[1]))
    else:  # in the order of the other loader
        assert torch.equal(run[2][1], epoch_of(make("tensor"), 2)[1])


@both
def test_the_augmentation_of_an_image_does_not_depend_on_batches_or_processes(kind):
    reference = by_label(*epoch_of(make(kind), 1))
    assert torch.equal(by_label(*epoch_of(make(kind, batch_size=COUNT), 1)), reference)
    seen = []
    for rank in range(2):
        images, labels = epoch_of(make(kind, num_replicas=2, rank=rank), 1)
        assert torch.equal(images, reference[labels])
        assert len(labels) == 11
        seen += labels.tolist()
    assert set(seen) == set(LABELS)


@both
def test_global_generators_and_the_images_are_left_alone(kind):
    def states():
        numpy_state = np.random.get_state()  # noqa: NPY002 - the generator that must not be touched
        return str(torch.get_rng_state().tolist()), str(numpy_state), str(random.getstate())

    before, pixels, loader = states(), IMAGES.copy(), make(kind)
    for images, _ in loader:
        images.zero_()
    assert states() == before
    assert np.array_equal(IMAGES, pixels)
    assert epoch_of(loader, 0)[0].any()


@pytest.mark.parametrize("epoch", [0, 1])
def test_alternating_flips_are_those_of_the_tensor_loader(epoch, assert_close):
    options = {"augmentation": Augmentation(padding=0, cutout=0, flip="alternate"), "shuffle": False}
    ours, tensors = (epoch_of(make(kind, **options), epoch)[0] for kind in ("albumentations", "tensor"))
    assert_close(ours, tensors)


def test_a_pickled_dataset_gives_the_same_images():
    dataset = make("albumentations").dataset
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[(3, 5)][0], dataset[(3, 5)][0])


@pytest.mark.slow
def test_workers_forked_after_threads_have_run_see_each_epoch_and_change_nothing():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # pools of threads do not survive a fork: workers that use them hang
    torch.randn(600, 600) @ torch.randn(600, 600)
    torch.nn.functional.conv2d(torch.randn(64, 3, 32, 32), torch.randn(8, 3, 3, 3)).exp().sum()
    alone, helped = make("albumentations"), make("albumentations", num_workers=2)
    for epoch in (0, 1, 2, 1):
        for one, other in zip(epoch_of(alone, epoch), epoch_of(helped, epoch), strict=True):
            assert torch.equal(one, other)
    torch.set_num_threads(threads)


@pytest.mark.slow  # the imports themselves are the subject
def test_libraries_are_imported_late_without_network_also_in_spawned_workers_warnings_or_filters(monkeypatch):
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    code = """
import importlib.util, os, socket, sys, warnings
import cifar_data.datamodule
from cifar_data.loaders.albumentations import import_albumentations
from cifar_data.loaders.bolts import import_bolts
assert not {"albumentations", "pl_bolts"} & {*sys.modules}
asked = []
socket.socket.connect = socket.getaddrinfo = lambda *arguments, **options: asked.append(arguments)
import_albumentations()
assert asked == []
assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
warnings.simplefilter("error")
filters = list(warnings.filters)
if importlib.util.find_spec("pl_bolts"):
    import_bolts()
assert list(warnings.filters) == filters
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "pl_bolts" not in done.stderr


def test_without_albumentations_the_error_names_the_loader_to_use_instead(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(ImportError, match=r"Python 3\.15 .* Use the loader tensor \(--data.loader tensor\)"):
        import_albumentations()
