"""The LightningModule: a model of cifar_models, its loss, optimizer and schedule."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F

from cifar_data import CIFAR10DataModule
from cifar_models import InputSpec, create_model, fuse_conv_bn, list_models
from cifar_train.formatting import check
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, RunCheckpoint, resume_after_last_batch
from cifar_train.runs.hardware import describe_environment
from cifar_train.training.micro_batches import MicroBatches
from cifar_train.training.progressive_resizing import LowResolution, shrink
from cifar_train.training.schedule import OneCycle
from cifar_train.training.tta import TTA, tta_logits

Batch = tuple[Tensor, Tensor]

# Settings that a resumed run must have in common with its checkpoint.
_RESUMED_DATA = ("loader", "split_seed", "val_size", "train_limit", "batch_size")
_RESUMED_TRAINER = ("accumulate_grad_batches", "limit_train_batches", "overfit_batches")


def input_spec(datamodule: CIFAR10DataModule) -> InputSpec:
    """Returns the input specification of a model trained on `datamodule`'s images."""
    return InputSpec(classes=datamodule.classes, mean=datamodule.mean, std=datamodule.std, size=32)


def run_settings(model: "LitClassifier", datamodule: CIFAR10DataModule, trainer: L.Trainer) -> dict[str, Any]:
    """Returns what defines a run besides its length and rates, by field: a resumed run must have the same."""
    optimizer = model.make_optimizer()
    flags = sorted(name for name, value in optimizer.defaults.items() if value is True)
    averaging = WeightAveraging | StochasticWeightAveraging
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return {
        "model.architecture": model.architecture,
        "model.arguments": model.arguments,
        "model.optimizer": " ".join([type(optimizer).__name__, *flags]),
        # Any other momentum can be taken up, but its buffers exist only if there was some.
        "model.optimizer.momentum": "above 0" if optimizer.defaults.get("momentum") else "0",
        "model.micro_batch": model.micro_batch,
        "seed_everything": datamodule.seed,
        "data": datamodule.fingerprint,
        "data.augmentation": asdict(datamodule.augmentation),
        **{f"data.{name}": getattr(datamodule, name) for name in _RESUMED_DATA},
        **{f"trainer.{name}": getattr(trainer, name) for name in _RESUMED_TRAINER},
        "trainer.devices": trainer.world_size,
        "trainer.enable_checkpointing": any(isinstance(one, RunCheckpoint) for one in callbacks),
        "trainer.callbacks": [type(one).__name__ for one in callbacks if isinstance(one, averaging)],
    }


class LitClassifier(L.LightningModule):
    """An image classifier in training.

    Logs ``train_loss``, ``train_accuracy``, ``val_loss`` and ``val_accuracy`` for each epoch; for the test set
    ``test_loss``, ``test_accuracy`` and, with test-time augmentation, ``test_accuracy_flip`` and
    ``test_accuracy_tta``. Losses are in nats, accuracies in [0, 1].

    Args:
        architecture: Name of a model of cifar_models: resnet9, resnet18, whitenet.
        arguments: Keyword arguments of that model, such as ``{"widths": [32, 128, 128]}``.
        lr: Peak learning rate, above 0. It depends on the optimizer: 0.085 suits Muon, 0.01 Adam.
        optimizer: Class of the optimizer, by default Adam. It gets the named parameters; the schedule replaces its
            own ``lr``.
        schedule: The learning rate over the run.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        micro_batch: Images that one core of the processor works on at a time, at least 1. Micro-batches run side by
            side, and batch norm sees one of them. By default, and always on a GPU, the whole batch at once.
        low_resolution: The first part of the training on smaller images.
        tta: Test-time augmentation of the test set: none; flip, the image and its mirror image; flip_and_shift, also
            two shifted copies and their mirror images; their mean counts half.
        channels_last: Whether the weights lie channels-last in memory, which is the fast layout of CPUs.
    """

    # A method of the fused copy: the copy itself would be registered as a module and saved with every checkpoint.
    _inference: Callable[[Tensor], Tensor] | None = None
    # Optimizer steps of the whole run; 0 without a trainer.
    _total_steps: int = 0

    def __init__(
        self,
        *,
        architecture: str = "resnet9",
        arguments: dict[str, Any] | None = None,
        lr: float = 0.01,
        optimizer: OptimizerCallable | None = None,
        schedule: OneCycle = OneCycle(),  # noqa: B008 (frozen, so safe as a default)
        label_smoothing: float = 0.0,
        micro_batch: int | None = None,
        low_resolution: LowResolution = LowResolution(),  # noqa: B008 (frozen)
        tta: TTA = "flip",
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        names = list_models()
        check(architecture in names, "model.architecture", architecture, f"one of {', '.join(names)}")
        check(0 < lr < math.inf, "model.lr", lr, "a number above 0")
        check(0 <= label_smoothing < 1, "model.label_smoothing", label_smoothing, "a number in [0, 1)")
        check(micro_batch is None or micro_batch > 0, "model.micro_batch", micro_batch, "null, or at least 1")
        self.architecture = architecture
        self.arguments = dict(arguments or {})
        self.lr = lr
        self.label_smoothing = label_smoothing
        self.micro_batch = micro_batch
        self.low_resolution = low_resolution
        self.tta = tta
        self.schedule = schedule
        self._make_optimizer = optimizer or torch.optim.Adam
        # Plain types only, or checkpoints could not be loaded with weights_only.
        self.save_hyperparameters("architecture", "arguments", "lr", "label_smoothing")
        self.net = create_model(architecture, **self.arguments)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)
        self._micro_batches = micro_batch and MicroBatches(self.net, size=micro_batch, loss=self._loss)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits ``(N, K)`` of normalised images ``(N, 3, H, W)``."""
        return self.net(images)

    def setup(self, stage: str) -> None:
        """Checks the data against the model and runs data-dependent initialisation, if the model has one."""
        if datamodule := getattr(self.trainer, "datamodule", None):
            self.check_classes(datamodule.classes)
            # Lightning restores a checkpoint after this hook, so a resumed run keeps its trained weights.
            initialize = getattr(self.net, "initialize", None)
            if stage == "fit" and initialize is not None:
                # The covariance of 12 values settles far below 5000 images.
                initialize(datamodule.train_inputs(min(5000, datamodule.train_size)))

    def check_classes(self, classes: Sequence[str]) -> None:
        """Checks that there is a logit for each class."""
        num_classes = self.arguments.get("num_classes", 10)
        if len(classes) != num_classes:
            named = f"{len(classes)} classes ({', '.join(classes)})"
            hint = f"set model.arguments.num_classes to {len(classes)}"
            raise ValueError(f"the data has {named} but the model {num_classes}; {hint}")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of one batch, a scalar with gradient."""
        images, labels = batch
        progress = self.trainer.global_step / self._total_steps if self._total_steps else 0.0
        side = self.low_resolution.side(progress)
        if side is not None:
            # PyTorch resizes no bfloat16 on a CPU.
            images = shrink(images.float(), side).to(images.dtype)
        # A GPU is fastest with all images at once.
        if self._micro_batches and images.device.type == "cpu":
            loss, logits = self._micro_batches(images, labels)
        else:
            logits = self.net(images)
            loss = self._loss(logits, labels)
        logged: dict[str, Any] = {"on_epoch": True, "batch_size": len(labels), "sync_dist": True}
        self.log("train_loss", loss.detach(), on_step=True, prog_bar=True, **logged)
        self.log("train_accuracy", _accuracy(logits, labels), on_step=False, **logged)
        return loss

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def on_train_epoch_end(self) -> None:
        """Stops a run that has diverged, before its weights replace the last good checkpoint."""
        loss = self.trainer.callback_metrics.get("train_loss_epoch")
        if loss is not None and not torch.isfinite(loss):
            raise FloatingPointError(
                f"the training loss became {float(loss)} in epoch {self.current_epoch + 1}; "
                f"lower model.lr (now {self.lr}) or raise model.schedule.div"
            )

    def on_validation_epoch_start(self) -> None:
        """Fuses convolutions and batch norms of a copy of the network, for this evaluation only."""
        self._inference = fuse_conv_bn(self.net).forward

    def on_validation_epoch_end(self) -> None:
        """Discards the fused copy, since training changes the network."""
        self._inference = None

    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs loss and accuracy of one batch of the validation split, in the number format of the training."""
        images, labels = batch
        self._log_metrics("val", self._judge(images), labels)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs loss and accuracy of one batch of the test set, and accuracies with test-time augmentation."""
        images, labels = batch
        # Image and mirror image in float32, as the weights file will be used; shifted copies in the number format of
        # the training, which is almost twice as fast where that is bfloat16.
        logits = tta_logits(self._judge_in_float32, images, tta=self.tta, model_of_shifts=self._judge)
        self._log_metrics("test", logits.pop("none"), labels)
        for tta, augmented in logits.items():
            name = "tta" if tta == "flip_and_shift" else tta
            self.log(
                f"test_accuracy_{name}", _accuracy(augmented, labels), batch_size=len(labels), sync_dist=True
            )

    def _judge(self, images: Tensor) -> Tensor:
        return (self._inference or self.net)(images).float()

    def _judge_in_float32(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return self._judge(images)

    def _log_metrics(self, stage: str, logits: Tensor, labels: Tensor) -> None:
        logged: dict[str, Any] = {"batch_size": len(labels), "sync_dist": True}
        self.log(f"{stage}_loss", F.cross_entropy(logits, labels), **logged)
        self.log(f"{stage}_accuracy", _accuracy(logits, labels), prog_bar=True, **logged)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds everything a weights file needs beside the tensors."""
        if datamodule := getattr(self.trainer, "datamodule", None):
            checkpoint[CHECKPOINT_KEY] = {
                "architecture": self.architecture,
                "arguments": self.arguments,
                "input_spec": input_spec(datamodule).to_dict(),
                "data_fingerprint": datamodule.fingerprint,
                "settings": run_settings(self, datamodule, self.trainer),
                # A report may be written later, on another machine.
                "environment": {**describe_environment(), "precision": str(self.trainer.precision)},
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lets a resumed training start with the batch after the checkpoint's last."""
        if self.trainer.state.fn == "fit":
            resume_after_last_batch(checkpoint, self.trainer.datamodule)  # type: ignore[attr-defined]

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Returns the optimizer of all trainable parameters; it cannot be LBFGS."""
        named: Iterable[Any] = [(name, p) for name, p in self.net.named_parameters() if p.requires_grad]
        optimizer = self._make_optimizer(named)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(  # noqa: TRY004
                "model.optimizer is LBFGS, which searches along the loss of one batch and cannot follow a schedule; "
                "use a first-order optimizer such as torch.optim.SGD or torch.optim.Adam"
            )
        return optimizer

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Returns the optimizer of all trainable parameters, and the schedule, stepped after each optimizer step."""
        optimizer = self.make_optimizer()
        total = self.trainer.estimated_stepping_batches
        if not math.isfinite(total):
            raise ValueError("the length of the run is unknown; set trainer.max_epochs or trainer.max_steps")
        self._total_steps = int(total)
        scheduler = self.schedule.build(optimizer, lr=self.lr, total_steps=self._total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) == labels).float().mean()
