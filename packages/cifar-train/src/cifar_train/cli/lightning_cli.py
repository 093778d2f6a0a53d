"""LightningCLI for this project: the fields, the run directory, the default callbacks and loggers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from cifar_data import CIFAR10DataModule
from cifar_models.atomic import write_at_once
from cifar_train.cli.parse_errors import explain_error
from cifar_train.recipes import list_recipes, recipe_path
from cifar_train.report.human_labels import HumanFiles
from cifar_train.runs.checkpoint_callbacks import checkpoint_callbacks, with_whole_checkpoints
from cifar_train.runs.directory import RunDirectory, create_run, find_run, point_latest
from cifar_train.runs.hardware import quickest_precision
from cifar_train.runs.loggers import default_loggers
from cifar_train.training.module import LitClassifier, input_spec
from cifar_train.training.progress import Throughput, progress_display

#: Tells the further processes of a run (strategy ddp) the directory that the first one made.
RUN_VARIABLE = "CIFAR_TRAIN_RUN"


class SaveRunConfig(SaveConfigCallback):
    """Writes `config.yaml` when training starts and points `latest` at the run."""

    def __init__(self, parser: LightningArgumentParser, config: Any, *, run: RunDirectory) -> None:
        super().__init__(parser, config, save_to_log_dir=False)
        self.run = run

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write the file, in one step that a kill cannot split."""
        if stage != "fit":
            return
        text = yaml.safe_dump(plain_config(self.parser, self.config), sort_keys=False)
        write_at_once(self.run.config, text.encode())
        point_latest(self.run.path)


def plain_config(parser: LightningArgumentParser, config: Any) -> dict[str, Any]:
    """The configuration as plain types, without what belongs to one start of the command only."""
    plain = yaml.safe_load(parser.dump(config, skip_none=False, skip_link_targets=True, format="yaml"))
    return {key: value for key, value in plain.items() if key not in ("config", "ckpt_path", "runs")}


def complete_arguments(args: Sequence[str]) -> list[str]:
    """Put the configuration file that `args` stand on before them.

    That is the recipe's (by default `fast`); with `--config` alone, none; and when a run is resumed without naming
    either, the run's own.

    >>> Path(complete_arguments(["--recipe", "era"])[1]).name
    'era.yaml'

    Raises:
        ValueError: If there is no such recipe.
        FileNotFoundError: If there is no run to resume.
    """
    recipe = _option(args, "--recipe")
    if recipe is None and (_option(args, "--config") or _option(args, "-c")):
        return list(args)
    if recipe is None and (checkpoint := _option(args, "--ckpt_path")):
        run = run_of_checkpoint(checkpoint, Path(_option(args, "--runs") or "runs"))
        if run is not None and run.config.exists():
            return ["--config", str(run.config), *args]
    return ["--config", str(recipe_path(recipe or "fast")), *args]


def run_of_checkpoint(checkpoint: str, runs: Path) -> RunDirectory | None:
    """The run that a checkpoint belongs to: the latest for `last` and `best`; none if it lies elsewhere.

    Raises:
        FileNotFoundError: If the run or the checkpoint does not exist.
    """
    run: RunDirectory | None = None
    if checkpoint in ("last", "best"):
        run = find_run(runs / "latest")
        path = run.last if checkpoint == "last" else run.best
    else:
        path = Path(checkpoint)
        if path.resolve().parent.name == "checkpoints":
            run = RunDirectory(path.resolve().parent.parent)
    if not path.is_file():
        raise FileNotFoundError(f"--ckpt_path {checkpoint}: there is no file {path}")
    return run


def _option(args: Sequence[str], name: str) -> str | None:
    for position, arg in enumerate(args):
        if arg == name and position + 1 < len(args):
            return args[position + 1]
        if arg.startswith(f"{name}="):
            return arg.split("=", 1)[1]
    return None


class TrainCLI(LightningCLI):
    """Parses the fields of model, data and trainer and makes all three; runs nothing.

    Args:
        args: The command line behind the command's name.
        description: Of the command, for `--help`.

    Attributes:
        run: The run directory; new, or that of the checkpoint to resume.
        checkpoint: The checkpoint to resume from, if any.
        throughput: Counts images and seconds of the training.
    """

    #: What the run directory's name begins with, before the recipe.
    run_prefix = ""

    run: RunDirectory
    checkpoint: Path | None
    throughput: Throughput

    def __init__(self, args: Sequence[str], *, description: str) -> None:
        super().__init__(
            LitClassifier,
            CIFAR10DataModule,
            save_config_callback=SaveRunConfig,
            args=complete_arguments(args),
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"description": description, "exit_on_error": False, "allow_abbrev": False},
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The seed."""
        parser.add_argument(
            "--seed_everything",
            type=int,
            default=0,
            help="Seed of all that is drawn: first weights, order, augmentation. The validation split has its own.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What belongs to a run rather than to model, data or trainer."""
        parser.add_argument(
            "--recipe",
            type=str,
            default="custom",
            help=f"A shipped configuration to start from: {', '.join(list_recipes())}.",
        )
        parser.add_argument("--runs", type=Path, default=Path("runs"), help="Directory of all runs.")
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to resume from: last or best of the latest run, or a path.",
        )
        parser.add_argument(
            "--report", type=bool, default=True, help="Whether to end with report and gallery (command run)."
        )
        parser.add_class_arguments(HumanFiles, "human")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; unlike Lightning's own, without a warning that `args` are given."""
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise ValueError(explain_error(str(error), known=list(parser.get_defaults().keys()))) from error

    def before_instantiate_classes(self) -> None:
        """Check what Lightning would accept and then do nothing with."""
        for name in ("max_epochs", "max_steps"):
            if self.config.trainer[name] == 0:
                raise ValueError(f"trainer.{name} is 0; it must be at least 1, or -1 for no limit")
        if self.config.trainer.precision is None:
            # Written into the configuration, so that the run is repeated with what it was trained with.
            self.config.trainer.precision = quickest_precision(str(self.config.trainer.accelerator))

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Make the run directory, then the trainer with the loggers and callbacks that the configuration leaves out."""
        resumed = (
            run_of_checkpoint(self.config.ckpt_path, self.config.runs) if self.config.ckpt_path else None
        )
        if inherited := os.environ.get(RUN_VARIABLE):
            self.run = RunDirectory(Path(inherited))
        elif int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0:
            raise ValueError(
                f"this is one of several processes; set {RUN_VARIABLE} to one run directory for all of them"
            )
        else:
            self.run = resumed or create_run(self.config.runs, self.run_prefix + self.config.recipe)
            os.environ[RUN_VARIABLE] = str(self.run.path)
        self.checkpoint = None
        if self.config.ckpt_path:
            names = {"last": self.run.last, "best": self.run.best}
            self.checkpoint = names.get(self.config.ckpt_path, Path(self.config.ckpt_path))
        self.save_config_kwargs = {"run": self.run}
        self.trainer_defaults["callbacks"] = self.default_callbacks()
        given = self.config_init["trainer"]
        if given.logger is None or given.logger is True:
            kwargs.setdefault("logger", default_loggers(self.run))
        if self.config.data.val_size == 0 and given.limit_val_batches is None:
            # Lightning warns of an empty list of loaders; so none is asked for.
            kwargs["limit_val_batches"] = 0
        kwargs.setdefault("plugins", with_whole_checkpoints(given.plugins))
        kwargs.setdefault("default_root_dir", str(self.run.path))
        if not sys.stderr.isatty():
            # The lines of our own take its place; Lightning would add a bar of its own.
            kwargs["enable_progress_bar"] = False
        if given.enable_model_summary is None:
            kwargs["enable_model_summary"] = False
        return super().instantiate_trainer(**kwargs)

    def check_data(self) -> None:
        """Open the data and check the model and the sizes asked for against it.

        Raises:
            ValueError: If something does not fit; the message has all of it.
        """
        self.datamodule.prepare_data()
        checks: dict[Callable[[Any], None], Any] = {
            self.model.check_classes: self.datamodule.classes,
            self.datamodule.setup: "fit",
        }
        complaints = []
        for check, argument in checks.items():
            try:
                check(argument)
            except ValueError as error:
                complaints.append(str(error))
        if complaints:
            raise ValueError("; and ".join(complaints))
        # What no weights file could say of the data would come out at the first checkpoint, an epoch from here.
        input_spec(self.datamodule)

    def default_callbacks(self) -> list[L.Callback]:
        """The callbacks that the configuration leaves out."""
        trainer = self.config_init["trainer"]
        given = trainer.callbacks or []
        given = given if isinstance(given, list) else [given]
        self.throughput = Throughput()
        callbacks: list[L.Callback] = [self.throughput]
        if trainer.enable_progress_bar is not False:
            callbacks.append(progress_display(self.throughput))
        if trainer.enable_checkpointing is not False and not any(
            isinstance(c, ModelCheckpoint) for c in given
        ):
            validates = self.config.data.val_size > 0 and self.config.trainer.limit_val_batches != 0
            callbacks += checkpoint_callbacks(self.run.checkpoints, validates=validates)
        if trainer.logger is not False and not any(isinstance(c, LearningRateMonitor) for c in given):
            callbacks.append(LearningRateMonitor(logging_interval="step", log_momentum=True))
        return callbacks
