"""The command `cifar-train`."""

import contextlib
import difflib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COMMANDS = {
    "run": "train, evaluate the test set, write weights, report and gallery (the default)",
    "fit": "train and write the weights, without evaluating the test set",
    "test": "evaluate a weights file on the test set",
    "report": "write the report, gallery and model card of a run",
    "gallery": "write the gallery of a weights file: all test predictions and the misclassified images",
    "lr-find": "suggest a peak learning rate",
    "export": "write the weights file of a run's checkpoint",
}

_OVERVIEW = """\
usage: cifar-train [command] [--recipe NAME] [--field value ...]

Train a CIFAR-10 classifier with PyTorch Lightning.

commands:
{commands}

recipes, with test accuracy and time on two cores with AVX-512 BF16; without it they take longer:
  fast      90 %, 3.5 minutes; the default
  best      93 %, 17 minutes
  resnet9   94 %, 50 minutes
  era       93 %, 70 minutes with --trainer.precision bf16-mixed; the classic Adam and One Cycle

examples:
  cifar-train                                    train with the recipe fast
  cifar-train --recipe best --trainer.max_epochs 12
  cifar-train --ckpt_path last                   resume the latest run
  cifar-train COMMAND --help                     all fields, with their units
  cifar-train --print_config                     the whole configuration
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with `argv`, by default the arguments of the process.

    Returns the exit code: 0; 2 for an error that the user can correct, with a message on stderr and, if `CIFAR_DEBUG`
    is set, the traceback; 130 when interrupted.
    """
    # Before the slow imports, which are part of the wall time in the summary.
    started = time.perf_counter()
    args = [_expand_home(arg) for arg in (sys.argv[1:] if argv is None else argv)]
    streams: list[Any] = [_LastingStream(stream) for stream in (sys.stdout, sys.stderr)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            return _dispatch(args, started)
        except (KeyboardInterrupt, SystemExit) as end:
            # Lightning turns the first into the second.
            if KeyboardInterrupt not in (type(end), type(end.__context__)):
                raise
            return _fail("interrupted", code=130)
        finally:
            for stream in streams:
                stream.flush()


def _expand_home(arg: str) -> str:
    """Expands `~` where shells leave it as it is: in `--runs=~/runs`, in quotes and on Windows."""
    option, equals, value = arg.rpartition("=")
    return f"{option}{equals}{Path(value).expanduser()}" if value.startswith(("~/", "~\\")) else arg


class _LastingStream:
    """A text stream on which no write fails: unknown characters are replaced, the rest is dropped after an error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream or io.StringIO()  # None if closed by the shell
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Any, *args: str) -> None:
        try:
            action(*args)
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            with contextlib.suppress(OSError, ValueError):
                # What is still buffered would fail again when the process ends.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _dispatch(args: list[str], started: float) -> int:
    if args in (["-h"], ["--help"]):
        listing = "\n".join(f"  {name:<9} {text}" for name, text in _COMMANDS.items())
        print(_OVERVIEW.format(commands=listing), end="")
        return 0
    command = args.pop(0) if args and not args[0].startswith("-") else "run"
    if command not in _COMMANDS:
        near = difflib.get_close_matches(command, _COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(_COMMANDS)}"
        return _fail(f"there is no command {command!r}; {hint}")
    from jsonargparse import ArgumentError
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    _quiet()
    known = ValueError, OSError, FloatingPointError, ImportError, ArgumentError, MisconfigurationException
    try:
        _run(command, args, started)
    except known as error:
        if os.environ.get("CIFAR_DEBUG"):
            raise
        if isinstance(error, OSError) and error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}")
        message = str(error)
        if isinstance(error, MisconfigurationException):
            message = " ".join(message.split())
            # Lightning's messages about missing hardware do not name the option.
            if any(word in message.lower() for word in ("accelerator", "device", "gpu", "cuda")):
                message += " (trainer.accelerator: auto uses the hardware of this machine)"
        return _fail(message)
    return 0


def _run(command: str, args: list[str], started: float) -> None:
    about = _COMMANDS[command]
    if command in ("test", "report", "gallery", "export"):
        from cifar_train.cli import evaluate

        evaluate.run_command(command, args, description=about)
        return
    from cifar_train.cli import lr_find, train
    from cifar_train.cli.lightning_cli import TrainCLI
    from cifar_train.runs.directory import shared

    cli = (lr_find.LearningRateCLI if command == "lr-find" else TrainCLI)(command, args, description=about)
    with shared(cli.run):
        if command == "lr-find":
            lr_find.find_learning_rate(cli)
        elif command == "fit":
            train.fit(cli)
        else:
            train.run(cli, started=started, command=["cifar-train", *args])


def _quiet() -> None:
    """Silences Lightning's hints; called after its import, which sets the logging levels."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        # Between two of Lightning's own dependencies.
        ".*treespec, LeafSpec.*",
        # The tensor loader has no workers by design, and a resumed run keeps its checkpoints.
        ".*does not have many workers.*",
        "Checkpoint directory .* exists and is not empty",
        # Our loaders leave out the batches trained on before.
        "You're resuming from a checkpoint that ended before the epoch",
        # Then the weights are those of the last checkpoint.
        r".*ModelCheckpoint\(monitor='val_accuracy'\)` could not find",
        # A short run logs its epochs all the same.
        "The number of training batches .* is smaller than the logging",
    ):
        warnings.filterwarnings("ignore", message=message)


def _fail(message: str, *, code: int = 2) -> int:
    print(f"cifar-train: {message}", file=sys.stderr)
    return code
