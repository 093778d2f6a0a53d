"""Train a slice of a recipe through cifar-train's own trainer, module and loaders, and print its pace as JSON.

    python benchmarks/lightning_slice.py --steps 50 -- --recipe fast --data.batch_size 250

What follows `--` are arguments of cifar-train. Start-up and first steps are left out, nothing is validated or tested,
and images have their full size, also of a recipe that begins on smaller ones. A part of other benchmarks;
`bench_train.py` runs whole trainings.
"""

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from pace import Pace

from cifar_train.cli.lightning_cli import RUN_VARIABLE, TrainCLI

# What would take time between the steps that count, and is no part of a step; and what makes some steps cheaper.
_STEADILY = [
    "--model.low_resolution.until=0",
    "--trainer.limit_val_batches=0",
    "--trainer.enable_checkpointing=false",
    "--trainer.enable_progress_bar=false",
]


class PaceCallback(Callback):
    """Tells a pace of each micro-batch, and ends the training when that has seen enough."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of all processes."""
        if self.pace.step(len(batch[0]) * trainer.world_size):
            trainer.should_stop = True


def fit_slice(arguments: Sequence[str], pace: Pace) -> tuple[L.LightningModule, dict[str, Any]]:
    """Train as `arguments` of cifar-train say until `pace` has seen enough.

    Returns:
        The module as it then is; and what was counted, with recipe, batch size, precision, processes and threads.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    first = RUN_VARIABLE not in os.environ
    with tempfile.TemporaryDirectory() as runs:
        try:
            cli = TrainCLI([*arguments, *_STEADILY, "--runs", runs], description="A slice of a training.")
            # At the end, so that all that the others do in a step is counted.
            cli.trainer.callbacks.append(PaceCallback(pace))  # type: ignore[attr-defined]
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        finally:
            # The next slice of this process makes a directory of its own.
            if first:
                os.environ.pop(RUN_VARIABLE, None)
    return cli.model, {
        "recipe": cli.config.recipe,
        "batch_size": cli.datamodule.batch_size,
        "train_size": cli.datamodule.train_size,
        "epochs": cli.config.trainer.max_epochs,
        "precision": str(cli.trainer.precision),
        "processes": cli.trainer.world_size,
        "threads": torch.get_num_threads(),
        "rank": cli.trainer.global_rank,
        **pace.result(),
    }


def main() -> None:
    """Train as the arguments say and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help="micro-batches that count")
    parser.add_argument("--seconds", type=float, help="time that counts; one process only")
    parser.add_argument("--warmup", type=int, default=5, help="micro-batches before (default: %(default)s)")
    parser.add_argument("arguments", nargs="*", help="of cifar-train, after --")
    options = parser.parse_args()
    pace = Pace(warmup=options.warmup, steps=options.steps, seconds=options.seconds)
    _, result = fit_slice(options.arguments, pace)
    if result.pop("rank") == 0:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
