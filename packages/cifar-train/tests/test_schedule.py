import math
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from cifar_train.training.schedule import OneCycle

pytestmark = pytest.mark.numeric


def rates(cycle, total, lr=0.4):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = cycle.build(optimizer, lr=lr, total_steps=total)
    seen = []
    for _ in range(total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(seen) < total:
            scheduler.step()
    return seen


def test_the_missions_cycle_peaks_at_epoch_five_of_24():
    steps_per_epoch = 98
    seen = rates(OneCycle(peak=5 / 24, div=10, final_div=100, anneal="linear"), 24 * steps_per_epoch)
    assert seen.index(max(seen)) == 5 * steps_per_epoch - 1
    assert max(seen) == pytest.approx(0.4)
    assert seen[0] == pytest.approx(0.04)
    assert seen[-1] == pytest.approx(0.004)


def test_linear_slopes_agree_with_the_closed_form():
    seen = rates(OneCycle(peak=0.5, div=4, final_div=8, anneal="linear"), 21)
    top = 0.5 * 21 - 1
    for step, rate in enumerate(seen):
        up = 0.1 + 0.3 * step / top
        down = 0.4 + (0.05 - 0.4) * (step - top) / (20 - top)
        assert rate == pytest.approx(up if step <= top else down)


def test_cosine_slopes_agree_with_the_closed_form():
    seen = rates(OneCycle(peak=0.0, final_div=10), 11)
    for step, rate in enumerate(seen):
        share = (step + 1) / 11
        assert rate == pytest.approx(0.04 + 0.36 * (1 + math.cos(math.pi * share)) / 2)


@given(
    st.floats(0, 0.95),
    st.floats(1, 50),
    st.floats(1, 1e4),
    st.sampled_from(["cos", "linear"]),
    st.integers(2, 80),
)
@example(0.1, 25.0, 1e4, "cos", 10)  # a peak at the very first step, with none before it
@example(0.2, 25.0, 1e4, "linear", 5)
def test_rates_rise_then_fall_and_never_pass_the_peak(peak, div, final_div, anneal, total):
    seen = rates(OneCycle(peak=peak, div=div, final_div=final_div, anneal=anneal), total)
    assert max(seen) <= 0.4 * (1 + 1e-9)
    top = seen.index(max(seen))
    assert all(a <= b + 1e-12 for a, b in pairwise(seen[: top + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(seen[top:]))


@pytest.mark.parametrize(
    ("name", "value"), [("peak", 1.0), ("peak", -0.1), ("div", 0.5), ("final_div", 0.0), ("anneal", "step")]
)
def test_values_out_of_range_are_named_as_on_the_command_line(name, value):
    with pytest.raises(ValueError, match=rf"model\.schedule\.{name}"):
        OneCycle(**{name: value})


def stepped(total, *, until, saved=None):
    """Learning rates and momenta from the first step, or from what was saved, until a step; and the state then."""
    cycle = OneCycle(peak=0.3, div=4, final_div=100, anneal="linear", cycle_momentum=True)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = cycle.build(optimizer, lr=0.4, total_steps=total)
    if saved is not None:
        optimizer.load_state_dict(saved[0])
        scheduler.load_state_dict(saved[1])
    seen = []
    for _ in range(scheduler.last_epoch, until):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        scheduler.step()
    return seen, (optimizer.state_dict(), scheduler.state_dict())


@pytest.mark.parametrize("step", [0, 1, 3, 7])
def test_a_resumed_cycle_is_the_uninterrupted_one_to_the_bit(step):
    whole, end = stepped(10, until=10)
    first, saved = stepped(10, until=step)
    rest, resumed_end = stepped(10, until=10, saved=saved)
    assert first + rest == whole
    assert resumed_end[1] == end[1]


def test_a_finished_cycle_goes_on_as_the_longer_one():
    _, saved = stepped(10, until=10)
    rest, _ = stepped(25, until=25, saved=saved)
    whole, _ = stepped(25, until=25)
    assert rest == whole[10:]
    assert min(rate for rate, _ in rest) > 0
