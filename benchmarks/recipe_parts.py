"""What a recipe of cifar-train is made of, without Lightning: net, optimizer, schedule, data; and a bare loop of it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
import yaml
from pace import Pace
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_data import Augmentation, CIFAR10DataModule
from cifar_models import create_model
from cifar_train.recipes import recipe_path
from cifar_train.runs.hardware import quickest_precision
from cifar_train.training.schedule import OneCycle

# Fields of `model` that the bare loop does as cifar-train does, and two that a slice of a training does not have: it
# is at full resolution and ends before the test.
_KNOWN = {"architecture", "arguments", "lr", "optimizer", "schedule", "label_smoothing", "micro_batch"}
_KNOWN |= {"channels_last", "low_resolution", "test_views"}


@dataclass(frozen=True)
class Recipe:
    """A recipe's fields, as far as a step of training consists of them.

    Args:
        name: Of the recipe.
        model: The fields of `model`.
        data: The fields of `data`.
        trainer: The fields of `trainer`.
    """

    name: str
    model: dict[str, Any]
    data: dict[str, Any]
    trainer: dict[str, Any] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """Images of a batch of the loader."""
        return int(self.data.get("batch_size", 512))

    @property
    def micro_batch(self) -> int | None:
        """Images that one core works on at a time; None if all cores work on the batch together."""
        return self.model.get("micro_batch")

    @property
    def number_format(self) -> str:
        """float32 or bfloat16: the factors of convolutions and products on this machine."""
        precision = self.trainer.get("precision") or quickest_precision("cpu")
        return "bfloat16" if precision == "bf16-mixed" else "float32"

    @property
    def left_out(self) -> list[str]:
        """What belongs to the recipe's steps, but not to the bare loop's."""
        left = [f"model.{name}" for name in self.model if name not in _KNOWN]
        return left + [
            f"trainer.{name}" for name in ("callbacks", "gradient_clip_val") if self.trainer.get(name)
        ]


def read_recipe(name: str) -> Recipe:
    """Return a recipe that ships with cifar-train.

    Raises:
        ValueError: If there is none of this name.

    >>> read_recipe("fast").model["architecture"]
    'whitenet'
    """
    fields = yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))
    return Recipe(name, fields["model"], fields["data"], fields["trainer"])


def make_net(recipe: Recipe, *, channels_last: bool = True) -> nn.Module:
    """Return the recipe's network, not yet initialised from data."""
    net = create_model(recipe.model["architecture"], **(recipe.model.get("arguments") or {}))
    return net.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def make_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all parameters that are trained."""
    given = recipe.model.get("optimizer") or "torch.optim.Adam"
    path, options = (
        (given, {}) if isinstance(given, str) else (given["class_path"], given.get("init_args") or {})
    )
    module, _, name = path.rpartition(".")
    named = [(key, value) for key, value in net.named_parameters() if value.requires_grad]
    return getattr(import_module(module), name)(named, **{"lr": recipe.model.get("lr", 0.01), **options})


def make_loss(
    recipe: Recipe, net: nn.Module, *, micro_batch: int | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what gives the loss of images and labels, whose `backward()` gives the gradients."""
    smoothing = recipe.model.get("label_smoothing", 0.0)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    if micro_batch is None:
        return lambda images, labels: loss(net(images), labels)
    from cifar_train.training.micro_batches import MicroBatches

    work = MicroBatches(net, size=micro_batch, loss=loss)
    return lambda images, labels: work(images, labels)[0]


def number_format(name: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which convolutions and products take factors of this format.

    >>> with number_format("bfloat16"):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16")


def make_datamodule(recipe: Recipe, **overrides: Any) -> CIFAR10DataModule:
    """Return the recipe's data, some fields overridden."""
    fields = {**recipe.data, **overrides}
    augmentation = Augmentation(**(fields.pop("augmentation", None) or {}))
    return CIFAR10DataModule(augmentation=augmentation, **fields)


def train_bare(recipe: Recipe, pace: Pace, **data: Any) -> nn.Module:
    """Train in the plainest loop that does the recipe's steps, until `pace` has seen enough.

    Args:
        recipe: Its validation, checkpoints and logs are left out, and what `Recipe.left_out` names.
        pace: Counts the batches.
        data: Fields of `data` to override.

    Returns:
        The network as it then is.
    """
    torch.manual_seed(0)
    datamodule = make_datamodule(recipe, **data)
    net = make_net(recipe, channels_last=recipe.model.get("channels_last", True)).train()
    datamodule.setup("fit")
    if hasattr(net, "initialize"):
        net.initialize(datamodule.train_inputs(min(5000, datamodule.train_size)))
    loader = datamodule.train_dataloader()
    accumulate = recipe.trainer.get("accumulate_grad_batches") or 1
    steps = -(-len(loader) // accumulate)
    optimizer = make_optimizer(recipe, net)
    schedule = OneCycle(**(recipe.model.get("schedule") or {}))
    scheduler = schedule.build(
        optimizer, lr=recipe.model.get("lr", 0.01), total_steps=recipe.trainer["max_epochs"] * steps
    )
    loss = make_loss(recipe, net, micro_batch=recipe.micro_batch)
    for epoch in range(recipe.trainer["max_epochs"]):
        loader.sampler.set_epoch(epoch)
        for number, (images, labels) in enumerate(loader, 1):
            with number_format(recipe.number_format):
                value = loss(images, labels) / accumulate
            value.backward()
            if number % accumulate == 0 or number == len(loader):
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
            if pace.step(len(labels)):
                return net
    return net
