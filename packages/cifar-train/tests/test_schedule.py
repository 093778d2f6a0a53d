import math
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

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


def rates(cycle, total):
    return [rate for rate, _ in stepped(cycle, total)[0]]


@pytest.mark.parametrize(
    ("cycle", "total"),
    [
        (OneCycle(peak=5 / 24, div=10, final_div=100, anneal="linear"), 24 * 98),  # recipe era
        (OneCycle(peak=0.5, div=4, final_div=8, anneal="linear"), 21),
        (OneCycle(peak=0.25, div=4, final_div=10), 20),
        (OneCycle(peak=0.0, final_div=10), 11),
    ],
)
def test_rates_agree_with_the_closed_form(cycle, total):
    top = cycle.peak * total - 1
    for step, rate in enumerate(rates(cycle, total)):
        start, share = (
            (0.4 / cycle.div, step / top) if step < top else (0.4, (step - top) / (total - 1 - top))
        )
        end = 0.4 if step < top else 0.4 / cycle.final_div
        weight = share if cycle.anneal == "linear" else (1 - math.cos(math.pi * share)) / 2
        assert rate == pytest.approx(start + (end - start) * weight)


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


CYCLE = OneCycle(peak=0.3, div=4, final_div=100, anneal="linear", cycle_momentum=True)


@pytest.mark.parametrize("step", [0, 1, 3, 7])
def test_a_resumed_cycle_is_the_uninterrupted_one_to_the_bit(step):
    whole, end = stepped(CYCLE, 10)
    first, saved = stepped(CYCLE, 10, until=step)
    rest, resumed_end = stepped(CYCLE, 10, saved=saved)
    assert first + rest == whole
    assert resumed_end[1] == end[1]


def test_a_finished_cycle_goes_on_as_the_longer_one():
    rest, _ = stepped(CYCLE, 25, saved=stepped(CYCLE, 10)[1])
    assert rest == stepped(CYCLE, 25)[0][10:]
    assert min(rate for rate, _ in rest) > 0
