"""The learning rate over a run, and its search."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from lightning.pytorch.tuner.lr_finder import _LRCallback

from cifar_train.cli.lr_find import steepest_rate, unbiased
from cifar_train.training.schedule import OneCycle

pytestmark = pytest.mark.numeric


def stepped(cycle, total, *, until=None, saved=None):
    """Rates and momenta from the first step, or from what was saved, until a step; and the state then."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = cycle.build(optimizer, lr=0.4, total_steps=total)
    if saved is not None:
        optimizer.load_state_dict(saved[0])
        scheduler.load_state_dict(saved[1])
    seen = []
    for _ in range(scheduler.last_epoch, total if until is None else until):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        scheduler.step()
    return seen, (optimizer.state_dict(), scheduler.state_dict())


@given(
    st.floats(0, 0.95), st.floats(1, 50), st.floats(1, 1e4), st.sampled_from(["cos", "linear"]), st.integers(2, 80)
)  # fmt: skip
@example(5 / 24, 10.0, 100.0, "linear", 24 * 98)  # recipe era
@example(0.1, 25.0, 1e4, "cos", 10)  # a peak at the very first step, with none before it
@example(0.2, 25.0, 1e4, "linear", 5)
def test_rates_agree_with_the_closed_form(peak, div, final_div, anneal, total):
    cycle = OneCycle(peak=peak, div=div, final_div=final_div, anneal=anneal)
    top = peak * total - 1 if peak * total > 1 else -1
    for step, (rate, _) in enumerate(stepped(cycle, total)[0]):
        if step < top:
            start, end, share = 0.4 / div, 0.4, step / top
        else:
            start, end, share = 0.4, 0.4 / final_div, (step - top) / (total - 1 - top)
        weight = share if anneal == "linear" else (1 - math.cos(math.pi * share)) / 2
        assert rate == pytest.approx(start + (end - start) * weight)


CYCLE = OneCycle(peak=0.3, div=4, final_div=100, anneal="linear", cycle_momentum=True)


@pytest.mark.parametrize(("step", "total"), [(0, 10), (1, 10), (3, 10), (7, 10), (10, 25)])
def test_a_resumed_cycle_is_the_uninterrupted_one_of_its_present_length_to_the_bit(step, total):
    whole, end = stepped(CYCLE, total)
    _, saved = stepped(CYCLE, 10, until=step)
    rest, resumed_end = stepped(CYCLE, total, saved=saved)
    assert rest == whole[step:]
    assert resumed_end[1] == end[1]


def test_constant_loss_is_constant_after_lightnings_smoothing():
    callback = _LRCallback(num_training=30)
    trainer = SimpleNamespace(
        should_stop=False, accumulate_grad_batches=1, lr_scheduler_configs=[], fit_loop=SimpleNamespace(),
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )  # fmt: skip
    for step in range(1, 31):
        trainer.global_step = trainer.fit_loop.batch_idx = step
        callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(2.5)}, None, step)
    assert callback.losses[0] == pytest.approx(2.5 / 1.98)
    assert list(unbiased(callback.losses)) == pytest.approx([2.5] * 30)


def test_steepest_rate_is_the_inflection_over_the_logarithm_of_the_rate():
    rates = [10 ** (-4 + step / 10) for step in range(41)]
    losses = [2.3 - 1 / (1 + math.exp(-4 * (math.log10(rate) + 2))) for rate in rates]
    assert steepest_rate(rates, losses) == pytest.approx(0.01)
    assert steepest_rate(rates, sorted(losses)) is None
