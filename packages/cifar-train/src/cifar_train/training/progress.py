"""The progress of a run: images per second and the time left."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

from cifar_train.formatting import format_duration
from cifar_train.runs.history import EPOCH_METRICS


class Throughput(Callback):
    """Counts training images, of all processes, and the time spent on them, loading included, validation not.

    Attributes:
        images: Images trained on in this start of the run.
        seconds: Time spent on them.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._clock = 0.0
        self._first_step: int | None = None

    @property
    def images_per_second(self) -> float:
        """Mean so far; 0 before the first batch."""
        return self.images / self.seconds if self.seconds else 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock, also for an epoch that is resumed in its middle."""
        self._clock = time.perf_counter()
        self._first_step = trainer.global_step

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._clock = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch and the time since the last one."""
        now = time.perf_counter()
        self.images += len(batch[0]) * trainer.world_size
        self.seconds += now - self._clock
        self._clock = now

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves out the time of a validation within an epoch."""
        self._clock = time.perf_counter()

    def describe(self, trainer: L.Trainer) -> dict[str, str]:
        """Returns the mean pace and the time to the end of the run at that pace, by label."""
        done = trainer.global_step - (self._first_step or 0)
        left = max(0, trainer.estimated_stepping_batches - trainer.global_step)
        return {
            "images/s": f"{self.images_per_second:.0f}",
            "time left": format_duration(left * self.seconds / max(1, done)),
        }


class RunProgressBar(TQDMProgressBar):
    """Lightning's progress bar of the epoch with images/s and the time left of the whole run."""

    def __init__(self, throughput: Throughput) -> None:
        super().__init__(refresh_rate=5)
        self.throughput = throughput

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Returns the logged metrics, images/s and the time left."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        running = self.throughput.images and trainer.training
        return {**metrics, **self.throughput.describe(trainer)} if running else metrics


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
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            print("  ".join([epoch, *metrics, *pace]), file=sys.stderr, flush=True)


def progress_display(throughput: Throughput) -> Callback:
    """Returns a progress bar on a terminal, else a line an epoch; `throughput` must be a callback too."""
    return RunProgressBar(throughput) if sys.stderr.isatty() else EpochLines(throughput)
