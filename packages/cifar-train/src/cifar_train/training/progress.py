"""How far a run is and how fast: images per second, and the time that is left."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from torch import Tensor

from cifar_train.formatting import format_duration


class Throughput(Callback):
    """Counts the images trained on and the seconds that took, over all processes, without validation.

    Attributes:
        images: Images trained on so far in this process's run.
        seconds: Time spent on them, loading included.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._resumed_at = 0.0
        self._steps = 0
        self._step_before = 0

    @property
    def images_per_second(self) -> float:
        """Mean over the run so far; 0 before the first batch."""
        return self.images / self.seconds if self.seconds else 0.0

    def seconds_left(self, trainer: L.Trainer) -> float:
        """Training time to the end of the run at the mean pace so far; infinite before the first step."""
        if not self._steps:
            return float("inf")
        left = max(0, trainer.estimated_stepping_batches - trainer.global_step)
        return left * self.seconds / self._steps

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._resumed_at = time.perf_counter()
        self._step_before = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch and the time since the last one."""
        now = time.perf_counter()
        self.images += len(batch[0]) * trainer.world_size
        self.seconds += now - self._resumed_at
        self._resumed_at = now
        self._steps += trainer.global_step - self._step_before
        self._step_before = trainer.global_step

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the time of a validation inside an epoch out."""
        self._resumed_at = time.perf_counter()


class RunProgressBar(TQDMProgressBar):
    """Lightning's progress bar of the epoch, with images/s and the time left of the whole run.

    Args:
        throughput: Where the pace is read; it must be among the trainer's callbacks too.
        refresh_rate: Batches between two updates, at least 1.
    """

    def __init__(self, throughput: Throughput, *, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self.throughput = throughput

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """The logged metrics, images/s and the time left."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if self.throughput.images and trainer.training:
            metrics["images/s"] = f"{self.throughput.images_per_second:.0f}"
            metrics["run ends in"] = format_duration(self.throughput.seconds_left(trainer))
        return metrics


class EpochLines(Callback):
    """One line an epoch on stderr, for logs and pipes, where a progress bar would be a mess.

    Args:
        throughput: Where the pace is read; it must be among the trainer's callbacks too.
    """

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line."""
        if not trainer.is_global_zero:
            return
        names = ("train_loss_epoch", "train_accuracy", "val_loss", "val_accuracy")
        values = {name: trainer.callback_metrics.get(name) for name in names}
        shown = [
            f"{name.removesuffix('_epoch')} {float(v):.4f}"
            for name, v in values.items()
            if isinstance(v, Tensor)
        ]
        pace = f"{self.throughput.images_per_second:.0f} images/s"
        left = f"run ends in {format_duration(self.throughput.seconds_left(trainer))}"
        line = "  ".join([f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", *shown, pace, left])
        print(line, file=sys.stderr, flush=True)


def progress_display(throughput: Throughput) -> Callback:
    """The display that suits stderr: a bar on a terminal, else lines."""
    return RunProgressBar(throughput) if sys.stderr.isatty() else EpochLines(throughput)
