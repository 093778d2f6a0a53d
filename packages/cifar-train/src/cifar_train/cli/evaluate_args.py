"""Arguments of the commands that look at what is there already: test, report, gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from cifar_data import CIFAR10DataModule
from cifar_train.cli.parse_errors import explain_error
from cifar_train.report.human_labels import HumanFiles
from cifar_train.runs.directory import RunDirectory, find_run

_LATEST = Path("runs/latest")


def parse_test(args: Sequence[str], *, description: str) -> dict[str, Any]:
    """The keyword arguments of :func:`cifar_train.cli.evaluate.test`."""
    parser = _parser("test", description)
    _add_weights(parser)
    parser.add_argument(
        "--record",
        action="store_true",
        help="Write what was measured into the file's header, as after storing it in float16. Galleries made before "
        "are then of another file.",
    )
    parser.add_class_arguments(CIFAR10DataModule, "data")
    config = _parsed(parser, args)
    return {
        "datamodule": config.data,
        "weights": config.weights,
        "run": config.run,
        "record": config.record,
    }


def parse_gallery(args: Sequence[str], *, description: str) -> dict[str, Any]:
    """The keyword arguments of :func:`cifar_train.cli.evaluate.gallery`."""
    parser = _parser("gallery", description)
    _add_weights(parser)
    parser.add_argument(
        "--out", type=Path | None, default=None, help="The folder to write; by default `gallery` of the run."
    )
    parser.add_class_arguments(HumanFiles, "human")
    parser.add_class_arguments(CIFAR10DataModule, "data")
    config = _parsed(parser, args)
    if config.weights is not None and config.out is None:
        raise ValueError("--out is missing: name the folder to write the gallery of --weights into")
    return {
        "datamodule": config.data,
        "weights": config.weights,
        "run": config.run,
        "out": config.out,
        "human": config.human,
    }


def parse_report(args: Sequence[str], *, description: str) -> dict[str, Any]:
    """The keyword arguments of :func:`cifar_train.cli.evaluate.report`.

    The data's fields begin as the configuration of the run has them that is named, wherever among the arguments its
    name stands, so that the validation split is the run's.

    Raises:
        FileNotFoundError: If there is no such run, or it has no configuration.
        ValueError: If an argument is not understood, or the run's configuration has no data.
    """
    parser = _parser("report", description)
    parser.add_argument("path", type=Path, nargs="?", default=_LATEST, metavar="RUN", help="A run directory.")
    parser.add_class_arguments(HumanFiles, "human")
    parser.add_class_arguments(CIFAR10DataModule, "data")
    # Twice: only a parse can tell the run's name, which may stand anywhere, from an option's value.
    parser.set_defaults(_own_settings(find_run(_parse(parser, args).path)))
    config = _parsed(parser, args)
    return {"datamodule": config.data, "run": find_run(config.path), "human": config.human}


def _own_settings(run: RunDirectory) -> dict[str, Any]:
    if not run.config.is_file():
        raise FileNotFoundError(f"{run.path} is no run directory: it has no {run.config.name}")
    settings = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    if not isinstance(settings, dict) or not isinstance(settings.get("data"), dict):
        raise ValueError(f"{run.config} is no configuration of a run: it has no section 'data'")  # noqa: TRY004
    return {key: settings[key] for key in ("data", "human") if isinstance(settings.get(key), dict)}


def _parser(command: str, description: str) -> ArgumentParser:
    return ArgumentParser(
        prog=f"cifar-train {command}", description=description, exit_on_error=False, allow_abbrev=False
    )


def _add_weights(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--weights", type=Path | None, default=None, help="The weights file; by default the run's."
    )
    parser.add_argument("--run", type=Path, default=_LATEST, help="A run directory.")


def _parsed(parser: ArgumentParser, args: Sequence[str]) -> Any:
    return parser.instantiate_classes(_parse(parser, args))


def _parse(parser: ArgumentParser, args: Sequence[str]) -> Any:
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        raise ValueError(explain_error(str(error), known=list(parser.get_defaults().keys()))) from error
