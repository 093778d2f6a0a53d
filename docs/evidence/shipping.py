"""From a finished run to what the repository shows and ships of it; nothing is written before everything is made."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import readme
from readme import ASSETS, RESULTS

from cifar_models import load_weights
from cifar_train import model_card
from cifar_train.cli.evaluate import export, report, test
from cifar_train.cli.evaluate_args import parse_report
from cifar_train.runs.directory import RunDirectory, find_run
from cifar_train.runs.export import weights_are_current
from cifar_train.runs.summary import read_summary

#: What float16 may cost, as a share of the test images.
_TOLERANCE = 0.0005
#: The recipe whose weights lie in weights/; those of another are the demo's.
_WEIGHTS_OF = "fast"

#: Files to write, by their path from the root.
Files = dict[Path, Path]


def without_folders(command: Sequence[str]) -> list[str]:
    """Return a command line without the options that say where things lay on one machine.

    >>> without_folders(["cifar-train", "--runs", "../runs", "--recipe", "fast", "--data.root=/data"])
    ['cifar-train', '--recipe', 'fast']
    """
    kept: list[str] = []
    words = iter(command)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--runs", "--data.root", "--data.cache_dir", "--ckpt_path"):
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept


def record(run: Path, work: Path, *, row: str | None = None) -> Files:
    """Return a run's summary, for the table of results.

    Args:
        run: A run directory of cifar-train that has come to its end.
        work: An empty folder.
        row: The folder in docs/results; the recipe's name if None.

    Raises:
        FileNotFoundError: If there is no such run, or it has no summary.
        ValueError: If the summary is not one, or its command names folders of one machine.
    """
    summary = asdict(read_summary(_existing(find_run(run).summary)))
    summary["command"] = without_folders(summary["command"])
    if absolute := [
        word for word in summary["command"] if word.partition("=")[2].startswith("/") or word[:1] == "/"
    ]:
        raise ValueError(
            f"the command in {run} names {absolute[0]!r}, which is of one machine; take it out first"
        )
    made = work / "summary.json"
    made.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return {RESULTS / (row or summary["recipe"]) / f"seed-{summary['seed']}" / "summary.json": made}


def ship(run: Path, work: Path, *, demo: bool = True) -> Files:
    """Make weights in float16, report, gallery and card of a run, all of that very file; the run stays as it is.

    Args:
        run: A run directory of cifar-train that has come to its end.
        work: An empty folder.
        demo: Whether the weights become the demo's; if not, only card, summary and, of `fast`, the weights are
            made for the repository.

    Raises:
        FileNotFoundError: If there is no such run, or it is not finished.
        ValueError: If the run was trained on after its end, or float16 changes the test accuracy by more than 0.05
            points.
    """
    ((place, summary),) = record(run, work).items()
    if not weights_are_current(find_run(run)):
        raise ValueError(
            f"{run} was trained on after its weights file was written; let it come to its end first"
        )
    made = _copied(find_run(run), RunDirectory(work / "run"), summary)
    made = find_run(made.path)
    settings = parse_report([str(made.path)], description="")
    export(run=made.path, out=made.weights)
    tested = test(settings["datamodule"], weights=made.weights, run=made.path, record=True)
    trained = read_summary(made.summary).metrics["test_accuracy"]
    if abs(tested["test_accuracy"] - trained) > _TOLERANCE:
        raise ValueError(
            f"test accuracy is {tested['test_accuracy']:.4f} in float16 and {trained:.4f} as trained; "
            f"a difference of at most {_TOLERANCE} is allowed"
        )
    # The same data, opened anew: the report sets the stages up itself.
    settings = parse_report([str(made.path)], description="")
    report(made, settings["datamodule"], human=settings["human"])
    return _files(made, place, work, demo=demo)


def _copied(run: RunDirectory, copy: RunDirectory, summary: Path) -> RunDirectory:
    for source, target in {
        run.config: copy.config,
        run.metrics: copy.metrics,
        run.best: copy.best,
        run.weights: copy.weights,
        summary: copy.summary,
    }.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_existing(source), target)
    return copy


def _files(run: RunDirectory, summary: Path, work: Path, *, demo: bool) -> Files:
    weights, told = load_weights(run.weights), read_summary(run.summary)
    own = told.recipe == _WEIGHTS_OF
    card = work / "card.md"
    name = f"{_WEIGHTS_OF}.safetensors" if own else run.weights.name
    card.write_text(model_card(weights, told, filename=name), encoding="utf-8")
    files = {summary: run.summary, Path("weights", f"{told.recipe}.md"): card}
    if own:
        files[Path("weights", name)] = run.weights
    if demo:
        files |= {
            summary.parent.parent / "metrics.csv": run.metrics,
            ASSETS / "model.safetensors": run.weights,
            ASSETS / "report" / "summary.json": run.summary,
        }
        files |= {ASSETS / "gallery" / path.name: path for path in run.gallery.glob("gallery.*")}
        files |= {ASSETS / "report" / "figures" / path.name: path for path in run.figures.glob("*.png")}
    return files


def with_readme(files: Files, root: Path, work: Path) -> Files:
    """Return the files and the README as it will be with them; the root stays as it is.

    Raises:
        ValueError: If the README cannot be written from them.
    """
    staged = work / "root"
    for folder in (RESULTS, ASSETS / "report"):
        shutil.copytree(root / folder, staged / folder, dirs_exist_ok=True)
    for path in ("README.md", ASSETS / "model.safetensors"):
        shutil.copyfile(root / path, staged / path)
    install(files, staged)
    readme.write(staged)
    return {**files, Path("README.md"): staged / "README.md"}


def install(files: Mapping[Path, Path], root: Path) -> list[Path]:
    """Copy the files to their places below `root`, each in one step; return the places that changed."""
    changed = []
    for place, source in files.items():
        target = root / place
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}-{os.getpid()}")
        shutil.copyfile(source, staged)
        staged.replace(target)
        changed.append(place)
    return changed


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; a run that came to its end has one")
    return path
