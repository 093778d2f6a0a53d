"""The commands that evaluate trained weights: test, report, gallery, export."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import ArgumentParser
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from cifar_data import CIFAR10DataModule
from cifar_explain import write_gallery
from cifar_models import load_weights, read_header, save_weights
from cifar_train.cli.arguments import parse
from cifar_train.report.analysis import HumanFiles, evaluate_test_set
from cifar_train.report.report import make_test_gallery, write_results
from cifar_train.runs.directory import find_run
from cifar_train.runs.export import (
    check_fingerprint,
    check_weights,
    export_checkpoint,
    run_recipe,
    weights_are_current,
    write_weights,
)
from cifar_train.runs.hardware import quickest_precision
from cifar_train.runs.summary import current_summary, format_metrics, format_rows
from cifar_train.training.module import LitClassifier

# Settings that the test set does not depend on; a report takes those of the run.
_OF_TRAINING: set[str | int] = {
    "loader", "batch_size", "val_size", "split_seed", "seed", "num_workers", "augmentation", "train_limit",
}  # fmt: skip


def run_command(command: str, args: Sequence[str], *, description: str) -> None:
    """Parses the arguments of `test`, `report`, `gallery` or `export`, and runs it."""
    parser = _make_parser(command, description)
    # `--run RUN` is RUN.
    args = [arg.removeprefix("--run=") for arg in args if arg != "--run"]
    if command != "report":
        commands: dict[str, Any] = {"test": evaluate, "gallery": gallery, "export": export}
        commands[command](**vars(parser.instantiate_classes(parse(parser, args))))
        return
    # Parsed twice: the run may be named anywhere among the arguments, and its settings are the defaults.
    config = find_run(parse(parser, args).run).read_config()
    shown = {key: value for key, value in config["data"].items() if key not in _OF_TRAINING}
    parser.set_defaults({"data": shown, "human": config.get("human") or {}})
    given = parse(parser, args)
    data = CIFAR10DataModule(**{**config["data"], **vars(given.data)})
    report(data, run=given.run, human=parser.instantiate_classes(given).human)


def _make_parser(command: str, description: str) -> ArgumentParser:
    prog = f"cifar-train {command}"
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
    add, latest = parser.add_argument, Path("runs/latest")
    add("run", type=Path, nargs="?", default=latest, metavar="RUN", help="A run directory.")
    if command == "test":
        text = "Write the metrics into the weights file's header, which changes its SHA-256."
        add("--record", action="store_true", help=text)
    if command in ("test", "gallery"):
        add("--weights", type=Path | None, help="The weights file; by default that of the run.")
    if command == "gallery":
        add("--out", type=Path | None, help="The folder to write; by default `gallery` of the run.")
    if command in ("report", "gallery"):
        parser.add_class_arguments(HumanFiles, "human")
    if command == "export":
        add("--out", type=Path, default=Path("model.safetensors"), help="The file to write.")
        text = "The run's best or last checkpoint; the last also if none was validated."
        add("--checkpoint", choices=("best", "last"), default="best", help=text)
        text = "Number format of the stored weights; float16 halves the file."
        add("--dtype", choices=("float32", "float16"), default="float16", help=text)
    else:
        parser.add_class_arguments(CIFAR10DataModule, "data", skip=_OF_TRAINING)
    return parser


def _weights_file(weights: Path | None, run: Path) -> Path:
    path = weights or find_run(run).weights
    if not path.is_file():
        hint = "name one with --weights, or let cifar-train report RUN write a run's"
        raise FileNotFoundError(f"there is no weights file {path}; {hint}")
    return path


def evaluate(data: CIFAR10DataModule, *, run: Path, weights: Path | None, record: bool) -> None:
    """Evaluates a weights file on the test set and prints the metrics."""
    path = _weights_file(weights, run)
    loaded = load_weights(path)
    trainer = L.Trainer(
        # As in a training with the defaults of this machine, so that both give the same numbers.
        precision=quickest_precision(),
        # One process, also where the variables of a cluster are set.
        devices=1,
        plugins=[LightningEnvironment()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    model = LitClassifier(architecture=loaded.architecture, arguments=loaded.arguments, tta="flip_and_shift")
    model.net.load_state_dict(loaded.model.state_dict())
    data.prepare_data()
    data.setup("test")
    check_weights(loaded, data)
    trainer.test(model, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    print(format_rows(format_metrics(metrics)))
    if record:
        kept = {
            name: getattr(loaded, name) for name in ("architecture", "arguments", "spec", "recipe", "dtype")
        }
        known = {**loaded.metrics, **metrics, "data_fingerprint": data.fingerprint}
        save_weights(path, loaded.model, metrics=known, **kept)


def report(data: CIFAR10DataModule, *, run: Path, human: HumanFiles) -> None:
    """Writes report, gallery and model card of a run on the data it was trained on, also if it was stopped early."""
    place = find_run(run)
    if not (place.weights.exists() or place.trained.exists()):
        raise FileNotFoundError(f"{place.path} has no checkpoint yet to report on; train first")
    check_fingerprint(place, data)
    if not weights_are_current(place):
        print(f"report: {place.weights.name} of the {place.trained.stem} checkpoint", file=sys.stderr)
        dtype = read_header(place.weights).dtype if place.weights.exists() else "float32"
        write_weights(place, data, dtype=dtype)
    write_results(place, data, people=human.read(data), summary=current_summary(place, data))
    print(f"to see it in the app: uv run cifar-space --run {run}")


def gallery(
    data: CIFAR10DataModule, *, run: Path, weights: Path | None, out: Path | None, human: HumanFiles
) -> None:
    """Writes the gallery of a weights file on the test set."""
    if weights is not None and out is None:
        raise ValueError("--out is missing: name the folder to write the gallery of --weights into")
    loaded = load_weights(_weights_file(weights, run))
    people = human.read(data)
    count = len(data.dataset.test.labels)
    with Tqdm(desc="test images", total=count, disable=None, leave=False, dynamic_ncols=True) as bar:
        test, _ = evaluate_test_set(loaded, data, progress=lambda done, _: bar.update(done - bar.n))
    made = make_test_gallery(test, data, loaded, people=people)
    folder = out or find_run(run).gallery
    write_gallery(made, folder)
    print(f"{folder}  {len(made.errors):,} errors of {len(made.labels):,} test images")


def export(*, run: Path, out: Path, checkpoint: str, dtype: str) -> None:
    """Writes the weights of a run's checkpoint, with input specification, recipe and metrics, to a file."""
    place = find_run(run)
    source = place.trained if checkpoint == "best" else place.last
    # The metrics of the run's weights file belong to the best checkpoint, unless the run was resumed since.
    current = checkpoint == "best" and weights_are_current(place)
    metrics = read_header(place.weights).metrics if current else {}
    export_checkpoint(source, out, recipe=run_recipe(place), metrics=metrics, dtype=dtype)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB  {dtype}, of the {source.stem} checkpoint")
