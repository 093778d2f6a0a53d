"""The commands that evaluate trained weights: test, report, gallery, export."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import yaml
from jsonargparse import ArgumentParser
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from cifar_data import CIFAR10DataModule
from cifar_explain import write_gallery
from cifar_models import load_weights, read_header, save_weights
from cifar_train.cli.arguments import parse
from cifar_train.report.analysis import HumanFiles, evaluate_test_set
from cifar_train.report.report import make_test_gallery, write_results
from cifar_train.runs.directory import RunDirectory, find_run
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
    commands: dict[str, Callable[..., None]] = {
        "test": evaluate, "report": report, "gallery": gallery, "export": export,
    }  # fmt: skip
    function = commands[command]
    # `--run RUN` is RUN.
    args = [arg.removeprefix("--run=") for arg in args if arg != "--run"]
    parser = ArgumentParser(
        prog=f"cifar-train {command}", description=description, exit_on_error=False, allow_abbrev=False
    )
    latest = Path("runs/latest")
    parser.add_argument("run", type=Path, nargs="?", default=latest, metavar="RUN", help="A run directory.")
    if command == "test":
        text = "Write the metrics into the weights file's header, which changes its SHA-256."
        parser.add_argument("--record", action="store_true", help=text)
    parser.add_function_arguments(function, as_group=False, skip={"run", "data", "record"})
    if command != "export":
        parser.add_class_arguments(CIFAR10DataModule, "data", skip=_OF_TRAINING)
    if command != "report":
        function(**vars(parser.instantiate_classes(parse(parser, args))))
        return
    # Parsed twice: the run may be named anywhere among the arguments, and its settings are the defaults.
    settings = _settings(find_run(parse(parser, args).run))
    shown = {key: value for key, value in settings["data"].items() if key not in _OF_TRAINING}
    parser.set_defaults({**settings, "data": shown})
    given = parse(parser, args)
    people = parser.instantiate_classes(given).human
    report(CIFAR10DataModule(**{**settings["data"], **vars(given.data)}), run=given.run, human=people)


def _settings(run: RunDirectory) -> dict[str, Any]:
    if not run.config.is_file():
        raise FileNotFoundError(f"{run.path} is no run directory: it has no {run.config.name}")
    config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict):
        raise ValueError(f"{run.config} is no configuration of a run: it has no section 'data'")  # noqa: TRY004
    return {key: config[key] for key in ("data", "human") if isinstance(config.get(key), dict)}


def _weights_file(weights: Path | None, run: Path) -> Path:
    path = weights or find_run(run).weights
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no weights file {path}; name one with --weights, or let cifar-train report RUN write a run's"
        )
    return path


def evaluate(data: CIFAR10DataModule, *, run: Path, record: bool, weights: Path | None = None) -> None:
    """Evaluates a weights file on the test set and prints the metrics.

    Args:
        data: The data.
        run: A run directory.
        record: Whether to write the metrics into the file's header.
        weights: The weights file; by default that of the run.
    """
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
        save_weights(
            path,
            loaded.model,
            architecture=loaded.architecture,
            arguments=loaded.arguments,
            spec=loaded.spec,
            recipe=loaded.recipe,
            metrics={**loaded.metrics, **metrics, "data_fingerprint": data.fingerprint},
            dtype=loaded.dtype,
        )


def report(data: CIFAR10DataModule, *, run: Path, human: HumanFiles) -> None:
    """Writes report, gallery and model card of a run on the data it was trained on, also if it was stopped early.

    Args:
        data: The data.
        run: The run directory.
        human: People's answers about the test images.
    """
    place = find_run(run)
    if not (place.weights.exists() or place.trained.exists()):
        raise FileNotFoundError(
            f"{place.path} has no checkpoint yet, so there is nothing to report; train first"
        )
    check_fingerprint(place, data)
    if not weights_are_current(place):
        note = f"report: {place.weights.name} of the {place.trained.stem} checkpoint"
        print(note, file=sys.stderr, flush=True)
        dtype = read_header(place.weights).dtype if place.weights.exists() else "float32"
        write_weights(place, data, dtype=dtype)
    write_results(place, data, people=human.read(data), summary=current_summary(place, data))
    print(f"to see it in the app: uv run cifar-space --run {run}")


def gallery(
    data: CIFAR10DataModule,
    *,
    run: Path,
    human: HumanFiles,
    weights: Path | None = None,
    out: Path | None = None,
) -> None:
    """Writes the gallery of a weights file on the test set.

    Args:
        data: The data.
        run: A run directory.
        human: People's answers about the test images.
        weights: The weights file; by default that of the run.
        out: The folder to write; by default `gallery` of the run.
    """
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


def export(
    run: Path,
    out: Path = Path("model.safetensors"),
    checkpoint: Literal["best", "last"] = "best",
    dtype: Literal["float32", "float16"] = "float16",
) -> None:
    """Writes the weights of a run's checkpoint, with input specification, recipe and metrics, to a file.

    Args:
        run: The run directory.
        out: The file to write.
        checkpoint: The run's best or last checkpoint; the last also if none was validated.
        dtype: Number format of the stored weights; float16 halves the file.
    """
    place = find_run(run)
    source = place.trained if checkpoint == "best" else place.last
    # The metrics of the run's weights file belong to the best checkpoint, unless the run was resumed since.
    current = checkpoint == "best" and weights_are_current(place)
    metrics = read_header(place.weights).metrics if current else {}
    export_checkpoint(source, out, recipe=run_recipe(place), metrics=metrics, dtype=dtype)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB  {dtype}, of the {source.stem} checkpoint")
