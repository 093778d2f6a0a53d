"""The command `cifar-train`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_COMMANDS = {
    "run": "train, test once, write weights, report and gallery; what happens when no command is named",
    "fit": "train and write the weights, without reading the test set",
    "test": "read the test set with a weights file",
    "report": "write a run's report and gallery (again)",
    "gallery": "write the gallery of a weights file: all test predictions, and the images of the errors",
    "lr-find": "suggest a peak learning rate",
    "export": "write a run's weights file",
}

_OVERVIEW = """\
usage: cifar-train [command] [--recipe NAME] [--field value ...]

Train a CIFAR-10 classifier with PyTorch Lightning.

commands:
{commands}

recipes: {recipes}

cifar-train                                    recipe fast: minutes on a CPU
cifar-train --recipe era --trainer.max_epochs 4
cifar-train --ckpt_path last                   go on with the latest run
cifar-train COMMAND --help                     every field, with its unit
cifar-train --print_config                     the whole configuration
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments; by default the process's own.

    Returns:
        The exit code: 0, 2 for what the user can mend (one message on stderr), 130 when interrupted. Set
        `CIFAR_DEBUG=1` to see the traceback as well.
    """
    # Before the slow imports, so that the wall time in the summary is the command's.
    started = time.perf_counter()
    args = list(sys.argv[1:] if argv is None else argv)
    command = args.pop(0) if args and not args[0].startswith("-") else "run"
    try:
        if command not in _COMMANDS:
            return _fail(f"there is no command {command!r}; the commands are {', '.join(_COMMANDS)}")
        if command == "run" and args in (["-h"], ["--help"]) and (argv or sys.argv[1:])[0] != "run":
            from cifar_train.recipes import list_recipes

            listing = "\n".join(f"  {name:<9} {text}" for name, text in _COMMANDS.items())
            print(_OVERVIEW.format(commands=listing, recipes=", ".join(list_recipes())), end="")
            return 0
        return _guarded(lambda: _run(command, args, started))
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)


def _run(command: str, args: list[str], started: float) -> None:
    if command in ("test", "report", "gallery"):
        _examine(command, args)
    elif command == "export":
        from jsonargparse import auto_cli

        from cifar_train.cli.evaluate import export

        auto_cli(export, args=args, as_positional=False, prog="cifar-train export", exit_on_error=False)
    else:
        _train(command, args, started)


def _train(command: str, args: list[str], started: float) -> None:
    from cifar_train.cli import train as commands
    from cifar_train.cli.lightning_cli import RUN_VARIABLE, TrainCLI

    _quiet()
    first = RUN_VARIABLE not in os.environ
    about = _COMMANDS[command]
    try:
        if command == "lr-find":
            from cifar_train.cli.lr_find import LearningRateCLI, find_learning_rate

            find_learning_rate(LearningRateCLI(args, description=about))
        elif command == "fit":
            commands.fit(TrainCLI(args, description=about))
        else:
            commands.run(TrainCLI(args, description=about), started=started, command=["cifar-train", *args])
    finally:
        if first and (made := os.environ.pop(RUN_VARIABLE, None)) and not any(Path(made).iterdir()):
            # What failed before it wrote anything leaves nothing behind.
            Path(made).rmdir()


def _examine(command: str, args: list[str]) -> None:
    from cifar_train.cli import evaluate as examine
    from cifar_train.cli.evaluate_args import parse_gallery, parse_report, parse_test

    _quiet()
    about = _COMMANDS[command]
    if command == "test":
        examine.test(**parse_test(args, description=about))
    elif command == "report":
        examine.report(**parse_report(args, description=about))
    else:
        examine.gallery(**parse_gallery(args, description=about))


def _guarded(action: Callable[[], None]) -> int:
    from jsonargparse import ArgumentError
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        action()
    except (ValueError, OSError, FloatingPointError, ImportError, ArgumentError) as error:
        if os.environ.get("CIFAR_DEBUG"):
            raise
        return _fail(str(error))
    except MisconfigurationException as error:
        if os.environ.get("CIFAR_DEBUG"):
            raise
        message = " ".join(str(error).split())
        # Where it is the hardware, Lightning's words name neither the option nor what this machine has.
        hardware = any(word in message.lower() for word in ("accelerator", "device", "gpu", "cuda"))
        return _fail(
            f"{message} (trainer.accelerator: auto takes what this machine has)" if hardware else message
        )
    return 0


def _quiet() -> None:
    """Keep Lightning's notes on hardware and tips out of the output; its warnings stay.

    To be called after the import of Lightning, which sets the levels itself.
    """
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Between two of Lightning's own dependencies; nothing a user could mend.
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    # The tensor loader has no workers by design, and a resumed run goes on with its own checkpoints.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # A short run logs its epochs all the same.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging")


def _fail(message: str, *, code: int = 2) -> int:
    print(f"cifar-train: {message}", file=sys.stderr)
    return code
