"""A Lightning callback that measures images per second; `harness.run_slice` hands it to `cifar-train fit`."""

import json
from typing import Any

import lightning as L
import torch
from harness import Pace
from lightning.pytorch.callbacks import Callback


class PaceCallback(Callback):
    """Ends a training once its pace is known, and prints the pace as one line of JSON.

    Args:
        warmup: Batches that do not count, at least 1.
        steps: Batches that count.
        seconds: Time that counts; for a single process only, since several would end at different steps.
    """

    def __init__(self, warmup: int = 5, steps: int | None = None, seconds: float | None = None) -> None:
        self._pace = Pace(warmup=warmup, steps=steps, seconds=seconds)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the images of all processes."""
        if self._pace.step(len(batch[0]) * trainer.world_size):
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the result in the first process."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            result = {
                "batch_size": data.batch_size,
                "train_size": data.train_size,
                "epochs": trainer.max_epochs,
                "precision": str(trainer.precision),
                "processes": trainer.world_size,
                "threads": torch.get_num_threads(),
            }
            print(json.dumps({**result, **self._pace.result()}), flush=True)
