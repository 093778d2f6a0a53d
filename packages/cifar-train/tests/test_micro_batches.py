import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cifar_models import create_model
from cifar_train.training.micro_batches import MicroBatches

pytestmark = pytest.mark.numeric


def make_batch(count):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 16, 16, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 9), st.integers(1, 10), st.floats(0.1, 4.0))
def test_without_norms_the_result_is_that_of_the_whole_batch(assert_close, count, size, outer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 10))
    images, labels = make_batch(count)
    expected = F.cross_entropy(net(images), labels)
    wanted = torch.autograd.grad(outer * expected, list(net.parameters()))
    loss, logits = MicroBatches(net, size=size, loss=F.cross_entropy)(images, labels)
    (outer * loss).backward()
    assert_close(loss.detach(), expected.detach())
    assert_close(logits, net(images).detach())
    for parameter, gradient in zip(net.parameters(), wanted, strict=True):
        assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_micro_batch_has_its_own_statistics_whatever_the_number_of_threads(threads):
    torch.manual_seed(0)
    net = create_model("resnet9").double()
    copies = [copy.deepcopy(net) for _ in range(3)]
    images, labels = make_batch(10)
    images = images.double()
    for judged, part in zip(copies, torch.arange(10).split(4), strict=True):
        (F.cross_entropy(judged(images[part]), labels[part], reduction="sum") / 10).backward()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        loss, _ = MicroBatches(net, size=4, loss=F.cross_entropy)(images, labels)
        loss.backward()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for parameter, *parts in zip(*(model.parameters() for model in (net, *copies)), strict=True):
        gradient = sum(part.grad for part in parts)
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-10, rtol=1e-7)
    # The running statistics are the first micro-batch's.
    torch.testing.assert_close(dict(net.named_buffers()), dict(copies[0].named_buffers()))


def test_autocast_reaches_the_threads_and_errors_come_back():
    seen, net = [], nn.Linear(3, 2)
    net.register_forward_hook(lambda net, images, logits: seen.append(logits.dtype))
    work = MicroBatches(net, size=2, loss=F.cross_entropy)
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled):
            work(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 2
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):  # in a thread
        work(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="size is 0"):
        MicroBatches(net, size=0, loss=F.cross_entropy)
