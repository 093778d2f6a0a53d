"""The parser of the commands that train: LightningCLI with the run directory, default callbacks and loggers."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from cifar_data import CIFAR10DataModule
from cifar_models import CIFAR10
from cifar_models.atomic import write_at_once
from cifar_train.recipes import list_recipes, recipe_path
from cifar_train.report.analysis import HumanFiles
from cifar_train.runs.checkpoint import checkpoint_callbacks, checkpoint_plugins
from cifar_train.runs.directory import (
    RUN_VARIABLE,
    RunDirectory,
    create_run,
    find_run,
    point_latest,
    remove_if_empty,
)
from cifar_train.runs.hardware import quickest_precision
from cifar_train.runs.history import HistoryLogger
from cifar_train.training.module import LitClassifier, input_spec
from cifar_train.training.progress import Throughput, progress_display

#: In this order at the top of the help; a text replaces the library's.
_CHANGED_MOST = {
    "recipe": None,
    "data.root": None,
    "trainer.max_epochs": "Epochs to train.",
    "model.lr": None,
    "data.batch_size": None,
    "model.architecture": None,
    "model.arguments": None,
    "model.tta": None,
    "data.val_size": None,
    "data.train_limit": None,
    "seed_everything": None,
    "trainer.accelerator": "cpu, gpu, mps, ...; auto takes the fastest of this machine.",
    "trainer.precision": "Number format, such as 32-true or bf16-mixed. If not given: bf16-mixed where the processor "
    "computes with it natively, else 32-true.",
    "runs": None,
    "ckpt_path": None,
}


def parse(parser: ArgumentParser, args: Sequence[str]) -> Any:
    """Parses; a misspelled option is answered with the nearest ones.

    Raises:
        ValueError: If an argument is not understood; the message is one line.
    """
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        known = ["help", "print_config", *parser.get_defaults().keys()]
        for arg in args:
            name = arg.removeprefix("--").partition("=")[0].removesuffix("+")
            groups = (name == k or k.startswith(f"{name}.") or name.startswith(f"{k}.") for k in known)
            if arg.startswith("--") and not any(groups):
                near = difflib.get_close_matches(name, known, n=2)
                hint = f"did you mean {' or '.join(near)}?" if near else "see --help for all fields"
                raise ValueError(f"there is no field {name}; {hint}") from error
        raise ValueError(" ".join(str(error).split())) from error


def starting_point(args: Sequence[str]) -> Path | None:
    """Returns the configuration to start from.

    That is the recipe's (by default `fast`), or none if there is a `--config`, or the run's own if a run is resumed
    without naming either.

    Raises:
        ValueError: If there is no such recipe.
        FileNotFoundError: If there is no run to resume.

    >>> starting_point(["--recipe", "era"]).name
    'era.yaml'
    """
    recipe = _option(args, "--recipe")
    if recipe is None and (_option(args, "--config") or _option(args, "-c")):
        return None
    if recipe is None and (checkpoint := _option(args, "--ckpt_path")):
        run = run_of_checkpoint(checkpoint, Path(_option(args, "--runs") or "runs"))
        if run is not None and run.config.exists():
            return run.config
    return recipe_path(recipe or "fast")


def run_of_checkpoint(checkpoint: str, runs: Path) -> RunDirectory | None:
    """Returns the run that a checkpoint belongs to, the latest for `last` and `best`; None if it lies elsewhere.

    Raises:
        FileNotFoundError: If the run or the checkpoint does not exist.
    """
    run: RunDirectory | None = None
    if checkpoint in ("last", "best"):
        run = find_run(Path(os.environ.get(RUN_VARIABLE) or runs / "latest"))
        path = run.last if checkpoint == "last" else run.best
    else:
        path = Path(checkpoint).expanduser()
        if path.resolve().parent.name == "checkpoints":
            run = RunDirectory(path.resolve().parent.parent)
    if not path.is_file():
        raise FileNotFoundError(f"--ckpt_path {checkpoint}: there is no file {path}")
    return run


def _put_first(parser: ArgumentParser, fields: dict[str, str | None]) -> None:
    """Moves fields to the top of the help, some with another text."""
    groups = [*parser._action_groups]
    first = parser.add_argument_group("fields that are changed most")
    parser._action_groups = [first, *groups]
    actions = {action.dest: action for action in parser._actions}
    for field, text in fields.items():
        action = actions[field]
        for group in groups:
            if action in group._group_actions:
                group._group_actions.remove(action)
        first._group_actions.append(action)
        action.help = text or action.help


def _option(args: Sequence[str], name: str) -> str | None:
    for position, arg in enumerate(args):
        if arg == name and position + 1 < len(args):
            return args[position + 1]
        if arg.startswith(f"{name}="):
            return arg.split("=", 1)[1]
    return None


def _for_command(args: Sequence[str], command: str) -> list[str]:
    """Replaces configuration files by their content: present field names, and only those that the command has."""
    current = list(args)
    for position, arg in enumerate(args):
        option, equals, value = arg.partition("=")
        value = value if equals else "".join(args[position + 1 : position + 2])
        if option in ("--config", "-c") and Path(value).is_file():
            config = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                continue
            others = {"report", "human"} & config.keys() if command != "run" else set()
            kept = {key: part for key, part in config.items() if key not in others}
            former = None
            if isinstance(model := kept.get("model"), dict) and (former := model.pop("test_views", None)):
                model["tta"] = "none" if former == "plain" else former  # of earlier versions
            if others or former:
                text = yaml.safe_dump(kept, sort_keys=False)
                current[position if equals else position + 1] = f"{option}={text}" if equals else text
    return current


class TimeLimit(Timer):
    """Lightning's limit of time, of each start of a run anew, which stops after an optimizer step."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing: the time of earlier starts does not count."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        """Checks the time, unless gradients are being accumulated, which no checkpoint stores."""
        if not trainer.fit_loop._should_accumulate():
            super().on_train_batch_end(trainer, *args, **kwargs)


class SaveRunConfig(SaveConfigCallback):
    """Writes `config.yaml` when training starts and points `latest` at the run."""

    def __init__(self, parser: LightningArgumentParser, config: Any, *, run: RunDirectory) -> None:
        super().__init__(parser, config, save_to_log_dir=False)
        self.run = run

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Writes the file in one step, without options that belong to one start of the command."""
        if stage == "fit":
            text = self.parser.dump(self.config, skip_none=False, skip_link_targets=True, format="yaml")
            kept = {k: v for k, v in yaml.safe_load(text).items() if k not in ("config", "ckpt_path", "runs")}
            write_at_once(self.run.config, yaml.safe_dump(kept, sort_keys=False).encode())
            try:
                point_latest(self.run.path)
            except OSError as error:
                latest = self.run.path.parent / "latest"
                note = f"{latest} is not this run ({error.strerror}); name {self.run.path} instead"
                print(note, file=sys.stderr)


class TrainCLI(LightningCLI):
    """Parses the fields of model, data and trainer and creates all three; runs nothing.

    Args:
        command: `run`, `fit` or `lr-find`.
        args: The command line after the command's name.
        description: Of the command, for `--help`.

    Attributes:
        run: The run directory, a new one or that of the checkpoint to resume.
        checkpoint: The checkpoint to resume, if any.
        throughput: Counts images and seconds of the training.
    """

    #: Start of the run directory's name, before the recipe.
    run_prefix = ""

    run: RunDirectory
    checkpoint: Path | None
    throughput: Throughput

    def __init__(self, command: str, args: Sequence[str], *, description: str) -> None:
        self.command = command
        self._given = {arg.partition("=")[0] for arg in args}
        start = starting_point(args)
        # A recipe's values are the defaults, also in the help; a run's own may have names of earlier versions.
        is_recipe = start is not None and start.parent == recipe_path("fast").parent
        super().__init__(
            LitClassifier,
            CIFAR10DataModule,
            save_config_callback=SaveRunConfig,
            args=_for_command(
                args if start is None or is_recipe else ["--config", str(start), *args], command
            ),
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
        parser.add_argument(
            "--seed_everything",
            type=int,
            default=0,
            help="Seed of initial weights, order and augmentation. The validation split has its own.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of a run."""
        parser.add_argument(
            "--recipe",
            type=str,
            default="custom",
            help=f"Built-in configuration to start from: {', '.join(list_recipes())}.",
        )
        parser.add_argument("--runs", type=Path, default=Path("runs"), help="Directory of all runs.")
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to resume from: last or best of the latest run, or a path.",
        )
        if self.command == "run":
            parser.add_argument(
                "--report", type=bool, default=True, help="Whether to write report and gallery."
            )
            parser.add_class_arguments(HumanFiles, "human")
        parser.link_arguments("seed_everything", "data.seed")
        _put_first(parser, _CHANGED_MOST)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses; Lightning's own warns if `args` are given."""
        self.config = parse(parser, args)

    def before_instantiate_classes(self) -> None:
        """Checks lengths of zero, which Lightning accepts and ignores, and settles the precision."""
        for name in ("max_epochs", "max_steps"):
            if self.config.trainer[name] == 0:
                raise ValueError(f"trainer.{name} is 0; it must be at least 1, or -1 for no limit")
        if self.config.trainer.precision is None:
            # In the configuration, so that a repeated run has the same one.
            self.config.trainer.precision = quickest_precision(str(self.config.trainer.accelerator))

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Creates the run directory, then the trainer with default loggers and callbacks."""
        self._open_run()
        self.save_config_kwargs = {"run": self.run}
        self.trainer_defaults["callbacks"] = self.default_callbacks()
        given = self.config_init["trainer"]
        if given.logger is None or given.logger is True:
            tensorboard = TensorBoardLogger(save_dir=str(self.run.path), name="", version="tensorboard")
            kwargs.setdefault("logger", [HistoryLogger(self.run.metrics), tensorboard])
        if self.config.data.val_size == 0 and given.limit_val_batches is None:
            # Lightning warns of an empty list of loaders.
            kwargs["limit_val_batches"] = 0
        plugins = checkpoint_plugins(given.plugins)
        if "SLURM_NTASKS" in os.environ and "SLURM_PROCID" not in os.environ:
            # A shell of a job, whose tasks srun has not started: Lightning would wait for them.
            plugins.append(LightningEnvironment())
        kwargs.setdefault("plugins", plugins)
        kwargs.setdefault("default_root_dir", str(self.run.path))
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

    def _open_run(self) -> None:
        checkpoint = self.config.ckpt_path
        runs = self.config.runs.expanduser()
        resumed = run_of_checkpoint(checkpoint, runs) if checkpoint else None
        name = self.run_prefix + self.config.recipe
        rank = next(
            (int(os.environ[n]) for n in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if n in os.environ), 0
        )
        if inherited := os.environ.get(RUN_VARIABLE):
            self.run = RunDirectory(Path(inherited).expanduser())
        elif resumed:
            self.run = resumed
        elif int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
            # The tasks of one srun share a directory.
            step = os.environ.get("SLURM_STEP_ID", "0")
            self.run = RunDirectory(runs / f"{name}-slurm-{os.environ.get('SLURM_JOB_ID')}.{step}")
        elif rank > 0:
            raise ValueError(
                f"this is one of several processes; set {RUN_VARIABLE} to one run directory for all of them"
            )
        else:
            self.run = create_run(runs, name)
        if rank == 0 and self.run.used and (resumed is None or resumed.path != self.run.path.resolve()):
            raise ValueError(
                f"{self.run.path} has a run already; set {RUN_VARIABLE} to a new directory, or resume that run with "
                f"--ckpt_path {self.run.last}"
            )
        named = {"last": self.run.last, "best": self.run.best}
        self.checkpoint = named.get(checkpoint, Path(checkpoint).expanduser()) if checkpoint else None

    def check_data(self) -> None:
        """Opens the data, fits the configuration to it and checks model and sizes.

        Raises:
            ValueError: If something does not fit; the message has all of it.
        """
        self.datamodule.prepare_data()
        self._fit_to_data()
        checks: tuple[Callable[[], Any], ...] = (
            lambda: self.model.check_classes(self.datamodule.classes),
            lambda: self.datamodule.setup("fit"),
            self.model.make_optimizer,
        )
        complaints = []
        for check in checks:
            try:
                check()
            except ValueError as error:
                complaints.append(str(error))
        if complaints:
            raise ValueError("; and ".join(complaints))
        # Checks the class names, which would otherwise fail at the first checkpoint.
        input_spec(self.datamodule)

    def _fit_to_data(self) -> None:
        """Sets the number of classes, and a validation split of at most a fifth, unless the user has."""
        config, data = self.config, self.datamodule
        classes, images = len(data.classes), len(data.dataset.train)
        fitted = []
        if classes != len(CIFAR10.classes) and "num_classes" not in (config.model.arguments or {}):
            config.model.arguments = {**(config.model.arguments or {}), "num_classes": classes}
            fitted.append(f"model.arguments.num_classes is {classes}")
        if (
            config.data.val_size > images / 5
            and config.data.val_size == self.parser.get_defaults().data.val_size
            and "--data.val_size" not in self._given
        ):
            config.data.val_size = max(1, images // 10)
            fitted.append(
                f"data.val_size is {config.data.val_size}, a tenth of the {images:,} training images"
            )
        if fitted:
            if self.trainer.is_global_zero:
                print(f"to fit the data, {' and '.join(fitted)}", file=sys.stderr)
            # The weights are those of a run that is started with these values.
            L.seed_everything(config.seed_everything, workers=True, verbose=False)
            self.config_init = self.parser.instantiate_classes(config)
            self.model, self.datamodule = self.config_init.model, self.config_init.data

    def default_callbacks(self) -> list[L.Callback]:
        """Returns the callbacks that the configuration does not replace."""
        trainer = self.config_init["trainer"]
        given = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
        self.throughput = Throughput()
        callbacks: list[L.Callback] = [self.throughput]
        if trainer.max_time is not None and not _has(given, Timer):
            callbacks.append(TimeLimit(trainer.max_time))
        if trainer.enable_progress_bar is not False:
            callbacks.append(progress_display(self.throughput))
        if trainer.enable_checkpointing is not False and not _has(given, ModelCheckpoint):
            validates = self.config.data.val_size > 0 and self.config.trainer.limit_val_batches != 0
            callbacks += checkpoint_callbacks(self.run.checkpoints, validates=validates)
        if trainer.logger is not False and not _has(given, LearningRateMonitor):
            callbacks.append(LearningRateMonitor(logging_interval="step", log_momentum=True))
        return callbacks


def _has(callbacks: Sequence[Any], kind: type[L.Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
