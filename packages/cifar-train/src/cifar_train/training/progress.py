"""The progress of a run: images per second, the time left, and the limit of time."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Timer, TQDMProgressBar

from cifar_train.formatting import format_duration
from cifar_train.runs.history import EPOCH_METRICS


class Throughput(Callback):
    """Counts training images, of all processes, and the seconds spent on them, since the last start of the run.

    The time includes loading, but not validation.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._clock = 0.0
        self._first_step = 0

    @property
    def images_per_second(self) -> float:
        """Mean so far; 0 before the first batch."""
        return self.images / self.seconds if self.seconds else 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock, also for an epoch that is resumed in its middle."""
        self._clock = time.perf_counter()
        self._first_step = trainer.global_step

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock; after a validation within an epoch too."""
        self._clock = time.perf_counter()

    on_validation_end = on_train_epoch_start

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch and the time since the last one."""
        now = time.perf_counter()
        self.images += len(batch[0]) * trainer.world_size
        self.seconds += now - self._clock
        self._clock = now

    def describe(self, trainer: L.Trainer) -> dict[str, str]:
        """Returns the mean pace and the time to the end of the run at that pace, by label."""
        done = trainer.global_step - self._first_step
        left = max(0, trainer.estimated_stepping_batches - trainer.global_step)
        return {
            "images/s": f"{self.images_per_second:.0f}",
            "time left": format_duration(left * self.seconds / max(1, done)),
        }


class RunProgressBar(TQDMProgressBar):
    """Lightning's progress bar of the epoch, with the time left of the whole run first; it fits 80 columns."""

    BAR_FORMAT = "{desc}{percentage:3.0f}%{postfix} |{bar}|"

    def __init__(self, throughput: Throughput) -> None:
        super().__init__(refresh_rate=5)
        self.throughput = throughput

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Starts the bar of the epoch, counted from 1."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(_epoch(trainer))

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Returns the time left, the losses and accuracies in short, and images/s."""
        logged = super().get_metrics(trainer, pl_module)
        names = {"train_loss_step": "loss", "val_accuracy": "val"}
        metrics = {short: f"{logged[name]:.3f}" for name, short in names.items() if name in logged}
        if not (self.throughput.images and trainer.training):
            return metrics
        pace = self.throughput.describe(trainer)
        return {"left": pace["time left"], **metrics, "images/s": pace["images/s"]}


class EpochLines(Callback):
    """Prints one line an epoch on stderr, for logs and pipes."""

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the line."""
        if trainer.is_global_zero:
            logged = trainer.callback_metrics
            names = [name for name in EPOCH_METRICS if name in logged]
            metrics = [f"{name.removesuffix('_epoch')} {float(logged[name]):.4f}" for name in names]
            pace = [f"{name} {value}" for name, value in self.throughput.describe(trainer).items()]
            print("  ".join([_epoch(trainer), *metrics, *pace]), file=sys.stderr, flush=True)


def _epoch(trainer: L.Trainer) -> str:
    of_all = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of_all}"


class TimeLimit(Timer):
    """Lightning's limit of time, of each start of a run anew, which stops after an optimizer step."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing: the time of earlier starts does not count."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        """Checks the time, unless gradients are being accumulated, which no checkpoint stores."""
        if not trainer.fit_loop._should_accumulate():
            super().on_train_batch_end(trainer, *args, **kwargs)
