import numpy as np
import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

from cifar_data.augmentation.batch_ops import normalize_batch
from cifar_data.augmentation.policy import Augmentation
from cifar_data.loaders.tensor import TensorLoader

COUNT = 53
MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.3, 0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(COUNT)  # a label tells which image it belongs to


def make(**options) -> TensorLoader:
    defaults = {"mean": MEAN, "std": STD, "batch_size": 8, "augmentation": Augmentation(), "shuffle": True}
    return TensorLoader(IMAGES, LABELS, **(defaults | options))


def epoch_of(loader: TensorLoader, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    loader.sampler.set_epoch(epoch)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def by_label(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return images[labels.argsort()]


def test_batches_have_the_promised_shapes():
    loader = make()
    batches = list(loader)
    assert len(loader) == len(batches) == 7
    assert [len(labels) for _, labels in batches] == [8] * 6 + [5]
    for images, labels in batches:
        assert images.shape == (len(labels), 3, 32, 32)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == LABELS.tolist()


def test_drop_last_leaves_out_the_smaller_batch():
    loader = make(drop_last=True)
    assert len(loader) == 6
    assert [len(labels) for _, labels in loader] == [8] * 6


def test_without_augmentation_and_shuffle_the_images_come_normalised_and_in_order():
    images, labels = epoch_of(make(augmentation=None, shuffle=False), 3)
    assert labels.tolist() == LABELS.tolist()
    assert torch.equal(images, normalize_batch(torch.from_numpy(IMAGES), MEAN, std=STD))


def test_indices_choose_the_images():
    chosen = np.array([7, 3, 52])
    images, labels = epoch_of(make(indices=chosen, augmentation=None, shuffle=False), 0)
    assert labels.tolist() == [7, 3, 52]
    assert torch.equal(images, normalize_batch(torch.from_numpy(IMAGES[chosen]), MEAN, std=STD))


def test_a_run_repeats_to_the_bit_and_resumes_where_it_stopped():
    uninterrupted = make()
    run = [epoch_of(uninterrupted, epoch) for epoch in range(3)]
    again = epoch_of(make(), 2)
    assert torch.equal(run[2][0], again[0])
    assert torch.equal(run[2][1], again[1])
    assert not torch.equal(run[1][1], run[2][1])
    assert not torch.equal(by_label(*run[1]), by_label(*run[2]))
    assert not torch.equal(by_label(*epoch_of(make(seed=1), 2)), by_label(*run[2]))


def test_the_order_of_neighbouring_seeds_is_not_shared():
    assert epoch_of(make(seed=0), 1)[1].tolist() != epoch_of(make(seed=1), 0)[1].tolist()


def test_an_images_augmentation_does_not_depend_on_batches_or_processes():
    reference = by_label(*epoch_of(make(), 1))
    assert torch.equal(by_label(*epoch_of(make(batch_size=COUNT), 1)), reference)
    assert torch.equal(make().batch(torch.arange(COUNT), epoch=1), reference)
    for rank in range(3):
        images, labels = epoch_of(make(num_replicas=3, rank=rank), 1)
        assert torch.equal(images, reference[labels])


def test_processes_share_the_images_and_together_make_the_batches_of_one():
    single = make(batch_size=16, drop_last=True)
    shards = [make(num_replicas=2, rank=rank, drop_last=True) for rank in (0, 1)]
    assert isinstance(single.sampler, DistributedSampler)
    assert len(shards[0]) == len(shards[1]) == len(single)
    for (_, whole), (_, first), (_, second) in zip(single, *shards, strict=True):
        assert sorted(whole.tolist()) == sorted([*first.tolist(), *second.tolist()])
    complete = [epoch_of(make(num_replicas=2, rank=rank), 0)[1].tolist() for rank in (0, 1)]
    assert len(complete[0]) == len(complete[1]) == 27
    assert set(complete[0]) | set(complete[1]) == set(LABELS)


def test_global_generators_and_the_images_are_left_alone():
    torch.manual_seed(5)
    state, before = torch.get_rng_state(), IMAGES.copy()
    for images, _ in make():
        images.zero_()
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(IMAGES, before)
    assert make().batch(torch.tensor([0]), epoch=0).any()


def test_read_only_memory_maps_are_fine(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "labels")]
    loader = TensorLoader(*mapped, mean=MEAN, std=STD, batch_size=8, augmentation=Augmentation())
    assert torch.equal(epoch_of(loader, 0)[0], epoch_of(make(shuffle=False), 0)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"num_replicas": 2, "rank": 2}, "rank must be a whole number from 0 to 1, got 2"),
        ({"num_replicas": 0}, "num_replicas must be a whole number of at least 1, got 0"),
        ({"indices": np.array([], dtype=np.int64)}, "indices must name at least one image, got none"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_an_argument_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_unequal_numbers_of_images_and_labels_are_refused():
    with pytest.raises(ValueError, match="labels must be as many as the 53 images, got 52"):
        TensorLoader(IMAGES, LABELS[:-1], mean=MEAN, std=STD, batch_size=8)
