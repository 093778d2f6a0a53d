import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from cifar_data.augmentation.policy import Augmentation
from cifar_data.dataset.arrays import Split
from cifar_data.loaders.albumentations import AlbumentationsDataset, make_albumentations_loader
from cifar_data.loaders.tensor import TensorLoader

COUNT = 21
MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.3, 0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(COUNT)

# Python 3.12 warns of every fork of a process with threads; the workers here start none of their own.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def make_dataset(augmentation: Augmentation | None = None, *, seed: int = 0) -> AlbumentationsDataset:
    samples = Split(IMAGES, LABELS)
    return AlbumentationsDataset(samples, mean=MEAN, std=STD, augmentation=augmentation, seed=seed)


def make(*, num_workers: int = 0, dataset: AlbumentationsDataset | None = None, **options):
    dataset = make_dataset(Augmentation()) if dataset is None else dataset
    defaults = {"batch_size": 4, "shuffle": True, "num_workers": num_workers}
    return make_albumentations_loader(dataset, **(defaults | options))


def epoch_of(loader, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    loader.sampler.set_epoch(epoch)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def global_states() -> tuple[str, ...]:
    numpy_state = np.random.get_state()  # noqa: NPY002 - the generator that must not be touched
    return str(torch.get_rng_state().tolist()), str(numpy_state), str(random.getstate())


def test_batches_have_the_promised_shapes():
    batches = list(make())
    assert [len(labels) for _, labels in batches] == [4] * 5 + [1]
    for images, labels in batches:
        assert images.shape == (len(labels), 3, 32, 32)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert len(list(make(drop_last=True))) == len(make(drop_last=True)) == 5


@pytest.mark.parametrize("shuffle", [True, False])
def test_without_augmentation_equal_to_the_tensor_loader_to_the_bit(shuffle):
    tensor = TensorLoader(IMAGES, LABELS, mean=MEAN, std=STD, batch_size=4, shuffle=shuffle, seed=3)
    loader = make(dataset=make_dataset(), shuffle=shuffle, seed=3)
    for one, other in zip(epoch_of(tensor, 2), epoch_of(loader, 2), strict=True):
        assert torch.equal(one, other)


@forks
def test_workers_that_live_on_see_each_epoch_and_change_nothing():
    alone, helped = make(), make(num_workers=2)
    epochs = [epoch_of(alone, epoch) for epoch in range(3)]
    for epoch in (0, 1, 2, 1):
        for one, other in zip(epochs[epoch], epoch_of(helped, epoch), strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(epochs[0][0][epochs[0][1].argsort()], epochs[1][0][epochs[1][1].argsort()])


@forks
def test_workers_forked_after_threads_have_run_do_not_hang():
    code = """
import numpy as np, torch
from cifar_data.loaders.albumentations import AlbumentationsDataset, make_albumentations_loader
from cifar_data.augmentation.policy import Augmentation
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)
torch.nn.functional.conv2d(torch.randn(64, 3, 32, 32), torch.randn(8, 3, 3, 3)).exp().sum()
samples = Split(np.zeros((8, 32, 32, 3), np.uint8), np.arange(8))
dataset = AlbumentationsDataset(samples, mean=(.5, .5, .5), std=(.2, .2, .2), augmentation=Augmentation())
loader = make_albumentations_loader(dataset, batch_size=4, num_workers=2)
print(sum(len(labels) for _, labels in loader))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "8", done.stderr


def test_a_run_repeats_to_the_bit_and_resumes_where_it_stopped():
    first = make()
    run = [epoch_of(first, epoch) for epoch in range(3)]
    for one, other in zip(run[2], epoch_of(make(), 2), strict=True):
        assert torch.equal(one, other)


def test_an_images_augmentation_does_not_depend_on_batches_or_processes():
    dataset = make_dataset(Augmentation())
    reference = torch.stack([dataset[(1, position)][0] for position in range(COUNT)])
    shards = []
    for rank in (0, 1):
        images, labels = epoch_of(make(dataset=dataset, num_replicas=2, rank=rank, batch_size=7), 1)
        assert torch.equal(images, reference[labels])
        shards.append(labels.tolist())
    assert len(shards[0]) == len(shards[1]) == 11
    assert set(shards[0]) | set(shards[1]) == set(LABELS)


def test_alternating_flips_show_both_sides_and_start_as_the_tensor_loader_does():
    augmentation = Augmentation(padding=0, cutout=0, flip="alternate")
    loader = make(dataset=make_dataset(augmentation), shuffle=False)
    tensor = TensorLoader(IMAGES, LABELS, mean=MEAN, std=STD, batch_size=4, augmentation=augmentation)
    first, second = epoch_of(loader, 0)[0], epoch_of(loader, 1)[0]
    assert torch.equal(first, second.flip(-1))
    assert torch.equal(first, epoch_of(tensor, 0)[0])
    assert torch.equal(second, epoch_of(tensor, 1)[0])


def test_a_pickled_dataset_gives_the_same_images():
    dataset = make_dataset(Augmentation())
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[(3, 5)][0], dataset[(3, 5)][0])


def test_global_generators_are_left_alone():
    loader = make()
    before = global_states()
    list(loader)
    assert global_states() == before


@pytest.mark.parametrize("before", [None, "0"])
def test_the_import_asks_no_network_and_restores_the_environment(before):
    code = """
import os, sys
before = os.environ.get("NO_ALBUMENTATIONS_UPDATE")
from cifar_data.loaders.albumentations import import_albumentations
assert "albumentations" not in sys.modules
import socket
asked = []
def refuse(*arguments, **options):
    asked.append(arguments)
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
import_albumentations()
assert "albumentations" in sys.modules
assert asked == []
assert os.environ.get("NO_ALBUMENTATIONS_UPDATE") == before
"""
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    if before is not None:
        environment["NO_ALBUMENTATIONS_UPDATE"] = before
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
