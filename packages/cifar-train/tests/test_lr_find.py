import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.tuner.lr_finder import _LRCallback

from cifar_train.cli.lr_find import LearningRateRange, steepest_rate, unbiased


def test_constant_loss_is_constant_after_lightnings_smoothing():
    callback = _LRCallback(num_training=30)
    for step in range(1, 31):
        trainer = SimpleNamespace(
            global_step=step, should_stop=False, accumulate_grad_batches=1, fit_loop=SimpleNamespace(batch_idx=step),
            lr_scheduler_configs=[], strategy=SimpleNamespace(broadcast=lambda value: value),
        )  # fmt: skip
        callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(2.5)}, None, step)
    assert callback.losses[0] == pytest.approx(2.5 / 1.98)
    assert list(unbiased(callback.losses)) == pytest.approx([2.5] * 30)


def test_steepest_rate_is_the_inflection_over_the_logarithm_of_the_rate():
    rates = [10 ** (-4 + step / 10) for step in range(41)]
    losses = [2.3 - 1 / (1 + math.exp(-4 * (math.log10(rate) + 2))) for rate in rates]
    assert steepest_rate(rates, losses) == pytest.approx(0.01)
    assert steepest_rate(rates, sorted(losses)) is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"min_lr": 0.0}, "min_lr"), ({"min_lr": 1.0, "max_lr": 0.1}, "max_lr"), ({"steps": 19}, "steps")],
)
def test_ranges_that_cannot_be_tried_are_rejected(arguments, named):
    with pytest.raises(ValueError, match=named):
        LearningRateRange(**arguments)
