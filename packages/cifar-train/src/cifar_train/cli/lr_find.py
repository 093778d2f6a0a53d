"""The learning rate range test, by Lightning's tuner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import yaml
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.tuner.tuning import Tuner
from matplotlib.figure import Figure

from cifar_train.cli.lightning_cli import TrainCLI

# Losses at the start that are too few to be smoothed, and so neither judged nor shown.
_SKIPPED = 10


@dataclass(frozen=True)
class LearningRateRange:
    """The learning rates that are tried, each for one optimizer step, growing exponentially.

    Args:
        min_lr: The first, above 0.
        max_lr: The last, above `min_lr`.
        steps: How many, at least 20.

    Raises:
        ValueError: If a value is out of its range; the message names the field.
    """

    min_lr: float = 1e-5
    max_lr: float = 1.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.min_lr < self.max_lr:
            raise ValueError(
                f"range.min_lr is {self.min_lr} and range.max_lr {self.max_lr}; 0 < min_lr < max_lr is needed"
            )
        if self.steps < 20:
            raise ValueError(f"range.steps is {self.steps}; it must be at least 20")


class LearningRateCLI(TrainCLI):
    """The fields of a training, and the range; nothing is logged or kept that could be taken for a training."""

    run_prefix = "lr-find-"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the range."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(LearningRateRange, "range")

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """A trainer without logger and checkpoints, whose directory does not become `latest`."""
        self.save_config_callback = None
        return super().instantiate_trainer(logger=False, enable_checkpointing=False, **kwargs)

    def default_callbacks(self) -> list[L.Callback]:
        """None: the tuner shows its own progress."""
        return []


def find_learning_rate(cli: LearningRateCLI) -> float:
    """Run the test; write `lr_find.png` and `lr_find.yaml` into the run directory and print the suggestion.

    Returns:
        The suggested peak learning rate: where the loss falls fastest.

    Raises:
        ValueError: If the losses have no falling slope to suggest from.

    Source:
        L. Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv:1506.01186), section 3.3.
    """
    tested: LearningRateRange = cli.config_init.range
    finder = Tuner(cli.trainer).lr_find(
        cli.model,
        datamodule=cli.datamodule,
        min_lr=tested.min_lr,
        max_lr=tested.max_lr,
        num_training=tested.steps,
        update_attr=False,
        attr_name="lr",
    )
    shown = slice(_SKIPPED, -1)
    rates = finder.results["lr"][shown] if finder is not None else []
    losses = undo_smoothing_bias(finder.results["loss"])[shown] if finder is not None else []
    suggestion = steepest_rate(rates, losses)
    if suggestion is None:
        raise ValueError(
            f"no learning rate in {tested.min_lr} to {tested.max_lr} lowered the loss steadily; widen --range.min_lr "
            "and --range.max_lr or raise --range.steps"
        )
    directory = cli.run.path
    _plot(rates, losses, suggestion, directory / "lr_find.png")
    snippet = directory / "lr_find.yaml"
    snippet.write_text(yaml.safe_dump({"model": {"lr": suggestion}}))
    print(f"suggested model.lr  {suggestion:.3g}")
    print(f"plot                {directory / 'lr_find.png'}")
    print(f"to train with it    cifar-train --recipe {cli.config.recipe} --config {snippet}")
    return suggestion


def steepest_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The learning rate at which the loss falls fastest per factor of learning rate, or none if it nowhere falls.

    Lightning's own suggestion takes the slope per difference of learning rates, which makes the smallest rates win
    by their spacing alone.

    >>> steepest_rate([0.001, 0.01, 0.1, 1.0], [2.3, 2.2, 1.5, 1.45])
    0.01
    """
    if len(rates) < 2:
        return None
    slopes = np.gradient(np.asarray(losses), np.log(rates))
    steepest = int(np.nanargmin(slopes))
    return float(rates[steepest]) if slopes[steepest] < 0 else None


def undo_smoothing_bias(losses: Sequence[float], *, beta: float = 0.98) -> list[float]:
    """Losses as smoothed by Lightning's finder, without the rise that its correction puts at the start.

    A running mean that begins at zero has to be divided by `1 - beta**k` after k values. The finder counts one too
    many, since the step is counted when it takes the loss: so the first values come out too low.

    Args:
        losses: Smoothed losses in order, the first after one step.
        beta: Share of the old mean in the new; Lightning's own default.

    >>> [round(loss, 3) for loss in undo_smoothing_bias([1.0, 1.0], beta=0.5)]
    [1.5, 1.167]
    """
    return [loss * (1 - beta ** (k + 1)) / (1 - beta**k) for k, loss in enumerate(losses, start=1)]


def _plot(rates: list[float], losses: list[float], suggestion: float, path: Path) -> None:
    figure = Figure(figsize=(6.4, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="#2a6f97", linewidth=1.5)
    axes.axvline(suggestion, color="#d1495b", linewidth=1.2, label=f"suggestion {suggestion:.3g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed (nats)")
    # A diverging tail would press the part that matters flat; the first half of the range lies before it.
    lowest, highest = min(losses), max(losses[: len(losses) // 2])
    span = max(highest - lowest, 1e-3)
    axes.set_ylim(lowest - 0.1 * span, highest + 0.3 * span)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
