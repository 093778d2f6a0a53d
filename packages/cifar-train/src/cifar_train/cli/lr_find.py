"""The command `lr-find`: the learning rate range test, by Lightning's tuner."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import yaml
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.tuner.tuning import Tuner
from numpy.typing import NDArray

from cifar_explain import THEMES, add_legend, make_figure, quiet_axes
from cifar_train.cli.lightning_cli import TrainCLI
from cifar_train.formatting import check


@dataclass(frozen=True)
class LearningRateRange:
    """The learning rates that are tried, each for one optimizer step, growing exponentially.

    Args:
        min_lr: The first, above 0.
        max_lr: The last, above `min_lr`.
        steps: How many, at least 20.
    """

    min_lr: float = 1e-5
    max_lr: float = 1.0
    steps: int = 100

    def __post_init__(self) -> None:
        allowed = f"above 0 and below range.max_lr, {self.max_lr}"
        check(0 < self.min_lr < self.max_lr, "range.min_lr", self.min_lr, allowed)
        check(self.steps >= 20, "range.steps", self.steps, "at least 20")


class LearningRateCLI(TrainCLI):
    """The fields of a training, and the range; nothing is logged, and `latest` stays."""

    run_prefix = "lr-find-"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the range."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(LearningRateRange, "range")

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Creates a trainer without logger and checkpoints."""
        return super().instantiate_trainer(logger=False, enable_checkpointing=False, **kwargs)

    def default_callbacks(self) -> list[L.Callback]:
        """Returns none: the tuner shows its own progress."""
        return []


def find_learning_rate(cli: TrainCLI) -> None:
    """Runs the test, writes `lr_find.png` and `lr_find.yaml` into the run directory and prints the suggestion.

    Source:
        L. Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv:1506.01186), section 3.3.
    """
    tested: LearningRateRange = cli.config_init.range
    # Epochs for all steps of the range, however short the run is; -1 has no end.
    epochs = cli.trainer.fit_loop.max_epochs
    if epochs is not None and 0 < epochs < tested.steps:
        cli.trainer.fit_loop.max_epochs = tested.steps
    finder = Tuner(cli.trainer).lr_find(
        cli.model,
        datamodule=cli.datamodule,
        min_lr=tested.min_lr,
        max_lr=tested.max_lr,
        num_training=tested.steps,
        update_attr=False,
        attr_name="lr",
    )
    results = {"lr": [], "loss": []} if finder is None else finder.results
    # As in Lightning's own suggestion: the first losses are too few to be smoothed.
    shown = slice(10, -1)
    rates, losses = results["lr"][shown], unbiased(results["loss"])[shown]
    if len(rates) < 2:
        raise ValueError(
            f"the training ended after {len(results['lr'])} of {tested.steps} steps, too few for a suggestion; "
            "lower range.max_lr if the loss diverges, or raise range.steps"
        )
    suggestion = steepest_rate(rates, losses)
    if suggestion is None:
        raise ValueError(
            f"no learning rate in {tested.min_lr} to {tested.max_lr} lowered the loss steadily; widen "
            "--range.min_lr and --range.max_lr or raise --range.steps"
        )
    plot, snippet = cli.run.path / "lr_find.png", cli.run.path / "lr_find.yaml"
    _plot(rates, losses, suggestion, plot)
    snippet.write_text(yaml.safe_dump({"model": {"lr": suggestion}}), encoding="utf-8")
    print(f"suggested model.lr  {suggestion:.3g}")
    print(f"plot                {plot}")
    print(f"to train with it    cifar-train --recipe {cli.config.recipe} --config {snippet}")


def steepest_rate(rates: Sequence[float], losses: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Returns the learning rate where the loss falls fastest per factor of learning rate, None if it never falls.

    Lightning's own suggestion takes the slope per difference of rates, so that the smallest rates win.

    >>> steepest_rate([0.001, 0.01, 0.1, 1.0], [2.3, 2.2, 1.5, 1.45])
    0.01
    """
    slopes = np.gradient(np.asarray(losses), np.log(rates))
    steepest = int(np.nanargmin(slopes))
    return float(rates[steepest]) if slopes[steepest] < 0 else None


def unbiased(losses: Sequence[float], *, beta: float = 0.98) -> NDArray[np.float64]:
    """Returns Lightning's smoothed losses, divided by `1 - beta**k` after k of them instead of `1 - beta**(k + 1)`."""
    k = np.arange(1, len(losses) + 1)
    return np.asarray(losses) * (1 - beta ** (k + 1)) / (1 - beta**k)


def _plot(rates: Sequence[float], losses: NDArray[np.float64], suggestion: float, path: Path) -> None:
    figure, look = make_figure(), THEMES["light"]
    axes = quiet_axes(figure.subplots())
    axes.plot(rates, losses, color=look.accent)
    axes.axvline(suggestion, color=look.second, label=f"suggestion {suggestion:.3g}")
    # A diverging tail would flatten the part that matters, the first half of the range.
    lowest, highest = min(losses), max(losses[: len(losses) // 2])
    span = max(highest - lowest, 1e-3)
    limits = (lowest - 0.1 * span, highest + 0.3 * span)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed (nats)", ylim=limits)
    add_legend(axes)
    figure.savefig(path)
