"""The parser of the commands that train: LightningCLI with the run directory, default callbacks and loggers."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from cifar_data import CIFAR10DataModule
from cifar_models.atomic import write_at_once
from cifar_train.cli.arguments import parse, readable_by, starting_point
from cifar_train.formatting import check
from cifar_train.recipes import list_recipes, recipe_path
from cifar_train.report.analysis import HumanFiles
from cifar_train.runs.checkpoint import AtomicCheckpointIO, RunCheckpoint
from cifar_train.runs.directory import RunDirectory, find_checkpoint, open_run, point_latest, remove_if_empty
from cifar_train.runs.hardware import quickest_precision
from cifar_train.runs.history import HistoryLogger
from cifar_train.training.module import LitClassifier
from cifar_train.training.progress import EpochLines, RunProgressBar, Throughput, TimeLimit

#: At the top of the help, in this order.
_CHANGED_MOST = (
    "recipe", "data.root", "trainer.max_epochs", "model.lr", "data.batch_size", "model.architecture", "model.arguments",
    "model.tta", "data.val_size", "data.train_limit", "seed_everything", "trainer.accelerator", "trainer.precision",
    "runs", "ckpt_path",
)  # fmt: skip
#: In place of Lightning's.
_HELP = {
    "trainer.max_epochs": "Epochs to train.",
    "trainer.accelerator": "cpu, gpu, mps, ...; auto takes the fastest of this machine.",
    "trainer.precision": "Number format, such as 32-true or bf16-mixed. If not given: bf16-mixed where the processor "
    "computes with it natively, else 32-true.",
}


class TrainCLI(LightningCLI):
    """Parses the fields of model, data and trainer and creates all three; runs nothing.

    ``args`` is the command line after the ``command``: `run`, `fit` or `lr-find`.
    """

    #: Start of the run directory's name, before the recipe.
    run_prefix = ""

    #: A new directory, or that of the checkpoint to resume, if any.
    run: RunDirectory
    checkpoint: Path | None = None
    throughput: Throughput

    def __init__(self, command: str, args: Sequence[str], *, description: str) -> None:
        self.command = command
        #: Names of the options in the command line.
        self.given = {arg.partition("=")[0] for arg in args}
        start = starting_point(args)
        # A recipe's values are the defaults, also in the help; a run's own may have names of earlier versions.
        is_recipe = start is not None and start.parent == recipe_path("fast").parent
        if start is not None and not is_recipe:
            args = ["--config", str(start), *args]
        super().__init__(
            LitClassifier,
            CIFAR10DataModule,
            save_config_callback=None,
            args=readable_by(command, args),
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "prog": f"cifar-train {command}",
                "usage": f"cifar-train {command} [--FIELD VALUE ...]",
                "description": description,
                "default_config_files": [str(start)] if is_recipe else None,
                "exit_on_error": False,
                "allow_abbrev": False,
            },
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the seed."""
        text = "Seed of initial weights, order and augmentation. The validation split has its own."
        parser.add_argument("--seed_everything", type=int, default=0, help=text)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of a run, and moves the fields that are changed most to the top of the help."""
        recipes = f"Built-in configuration to start from: {', '.join(list_recipes())}."
        parser.add_argument("--recipe", type=str, default="custom", help=recipes)
        parser.add_argument("--runs", type=Path, default=Path("runs"), help="Directory of all runs.")
        checkpoints = "Checkpoint to resume from: last or best of the latest run, or a path."
        parser.add_argument("--ckpt_path", type=str | None, default=None, help=checkpoints)
        if self.command == "run":
            parser.add_argument("--report", type=bool, default=True, help="Write report and gallery.")
            parser.add_class_arguments(HumanFiles, "human")
        parser.link_arguments("seed_everything", "data.seed")
        groups = [*parser._action_groups]
        first = parser.add_argument_group("fields that are changed most")
        parser._action_groups = [first, *groups]
        actions = {action.dest: action for action in parser._actions}
        for group in groups:
            group._group_actions = [a for a in group._group_actions if a.dest not in _CHANGED_MOST]
        first._group_actions = [actions[field] for field in _CHANGED_MOST]
        for field, text in _HELP.items():
            actions[field].help = text

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses; Lightning's own warns if `args` are given."""
        self.config = parse(parser, args)

    def before_instantiate_classes(self) -> None:
        """Checks lengths of zero, which Lightning accepts and ignores, and settles the precision."""
        for name in ("max_epochs", "max_steps", "limit_train_batches", "check_val_every_n_epoch"):
            check(self.config.trainer[name] != 0, f"trainer.{name}", 0, "above 0, or left out")
        if self.config.trainer.precision is None:
            # In the configuration, so that a repeated run has the same one.
            self.config.trainer.precision = quickest_precision(str(self.config.trainer.accelerator))

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Opens the run directory, then creates the trainer with default loggers and callbacks."""
        runs, resumed = self.config.runs.expanduser(), None
        if self.config.ckpt_path:
            self.checkpoint, resumed = find_checkpoint(self.config.ckpt_path, runs)
        self.run = open_run(runs, self.run_prefix + self.config.recipe, resumed=resumed)
        self.trainer_defaults["callbacks"] = self.default_callbacks()
        given = self.config_init.trainer
        if given.logger is None or given.logger is True:
            tensorboard = TensorBoardLogger(save_dir=str(self.run.path), name="", version="tensorboard")
            kwargs.setdefault("logger", [HistoryLogger(self.run.metrics), tensorboard])
        if self.config.data.val_size == 0 and given.limit_val_batches is None:
            # Lightning warns of an empty list of loaders.
            kwargs["limit_val_batches"] = 0
        plugins = _listed(given.plugins)
        if not _has(plugins, CheckpointIO):
            plugins.append(AtomicCheckpointIO())
        if "SLURM_NTASKS" in os.environ and "SLURM_PROCID" not in os.environ:
            # A shell of a job, whose tasks srun has not started: Lightning would wait for them.
            plugins.append(LightningEnvironment())
        kwargs |= {"plugins": plugins, "default_root_dir": str(self.run.path)}
        if not sys.stderr.isatty():
            # Lightning would add a bar of its own to our lines.
            kwargs["enable_progress_bar"] = False
        if given.enable_model_summary is None:
            kwargs["enable_model_summary"] = False
        try:
            return super().instantiate_trainer(**kwargs)
        except BaseException as error:
            remove_if_empty(self.run)
            if isinstance(error, RuntimeError):  # how Lightning answers settings that do not fit a cluster's
                raise ValueError(" ".join(str(error).split())) from error  # noqa: TRY004
            raise

    def default_callbacks(self) -> list[L.Callback]:
        """Returns the callbacks that the configuration does not replace."""
        trainer = self.config_init.trainer
        given = _listed(trainer.callbacks)
        self.throughput = Throughput()
        callbacks: list[L.Callback] = [self.throughput]
        if trainer.max_time is not None and not _has(given, Timer):
            callbacks.append(TimeLimit(trainer.max_time))
        if trainer.enable_progress_bar is not False:
            display = RunProgressBar if sys.stderr.isatty() else EpochLines
            callbacks.append(display(self.throughput))
        if trainer.enable_checkpointing is not False and not _has(given, ModelCheckpoint):
            validates = self.config.data.val_size > 0 and self.config.trainer.limit_val_batches != 0
            monitor = "val_accuracy" if validates else None
            # Lightning's `save_last` writes only in epochs that are also among the best. `last` comes second, since
            # it stores the state of `best`.
            callbacks.append(RunCheckpoint(self.run.checkpoints, "best", monitor=monitor))
            callbacks.append(RunCheckpoint(self.run.checkpoints, "last"))
        if trainer.logger is not False and not _has(given, LearningRateMonitor):
            callbacks.append(LearningRateMonitor(logging_interval="step", log_momentum=True))
        return callbacks

    def save_config(self) -> None:
        """Writes `config.yaml`, without options of this start of the command alone, and points `latest` at the run."""
        text = self.parser.dump(self.config, skip_none=False, skip_link_targets=True, format="yaml")
        kept = {k: v for k, v in yaml.safe_load(text).items() if k not in ("config", "ckpt_path", "runs")}
        write_at_once(self.run.config, yaml.safe_dump(kept, sort_keys=False).encode())
        try:
            point_latest(self.run.path)
        except OSError as error:
            latest = self.run.path.parent / "latest"
            note = f"{latest} is not this run ({error.strerror}); name {self.run.path} instead"
            print(note, file=sys.stderr)


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def _has(objects: Sequence[Any], kind: type) -> bool:
    return any(isinstance(one, kind) for one in objects)
