"""The arguments of a command: where its configuration starts, files of earlier versions, misspelled names."""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from cifar_train.recipes import recipe_path
from cifar_train.runs.directory import find_checkpoint


def parse(parser: ArgumentParser, args: Sequence[str]) -> Any:
    """Parses; a misspelled option is answered with the nearest ones, in one line."""
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
    """Returns the configuration to start from, None if there is a `--config` and no `--recipe`.

    That is the recipe's (by default `fast`), or the run's own if a run is resumed without naming either.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in (["--recipe"], ["--ckpt_path"], ["--config", "-c"]):
        parser.add_argument(*names)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given, _ = parser.parse_known_args(args)
    if given.recipe is None and given.config:
        return None
    if given.recipe is None and given.ckpt_path:
        _, run = find_checkpoint(given.ckpt_path, given.runs)
        if run is not None and run.config.exists():
            return run.config
    return recipe_path(given.recipe or "fast")


def readable_by(command: str, args: Sequence[str]) -> list[str]:
    """Replaces configuration files that the command cannot read by their content as it can.

    An optimizer that is named, in a file or an argument, replaces the one before it. jsonargparse would keep the values
    of the former class that the new one has too, such as Muon's weight decay for Adam.
    """
    current = []
    # Only `run` writes a report, so the others need not be told.
    rest = iter(arg for arg in args if command == "run" or arg != "--report=false")
    for arg in rest:
        option, equals, value = arg.partition("=")
        names_optimizer = option == "--model.optimizer"
        if option in ("--config", "-c"):
            value = value if equals else next(rest, "")
            if Path(value).is_file():
                config = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
                if isinstance(config, dict):
                    known = _known(config, command)
                    value = value if known == config else yaml.safe_dump(known, sort_keys=False)
                    model = known.get("model")
                    optimizer = model.get("optimizer") if isinstance(model, dict) else None
                    names_optimizer = isinstance(optimizer, str) or "class_path" in (optimizer or ())
            arg = f"--config={value}"
        current += ["--model.optimizer=null", arg] if names_optimizer else [arg]
    return current


def _known(config: dict[str, Any], command: str) -> dict[str, Any]:
    """Returns a configuration with present names, and only the fields that the command has."""
    known = {k: v for k, v in config.items() if command == "run" or k not in ("report", "human")}
    model = known.get("model")
    if isinstance(model, dict) and "test_views" in model:  # of earlier versions
        model = {"tta" if name == "test_views" else name: value for name, value in model.items()}
        known["model"] = {**model, "tta": "none" if model["tta"] == "plain" else model["tta"]}
    return known
