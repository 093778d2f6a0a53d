"""The commands that train, `run` and `fit`, once their arguments are parsed."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LambdaCallback

from cifar_models import CIFAR10
from cifar_train.cli.lightning_cli import TrainCLI
from cifar_train.formatting import format_duration
from cifar_train.report.report import write_results
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, batches_done, read_checkpoint
from cifar_train.runs.directory import claim
from cifar_train.runs.export import write_weights
from cifar_train.runs.hardware import describe_environment
from cifar_train.runs.history import drop_later_rows
from cifar_train.runs.summary import Summary, describe_data, format_metrics, format_rows, write_summary
from cifar_train.training.module import input_spec, run_settings


def fit(cli: TrainCLI) -> None:
    """Trains, writes the weights file of the best checkpoint and prints its validation accuracy."""
    check_data(cli)
    _train(cli)
    if cli.trainer.is_global_zero and _has_weights(cli):
        metrics = write_weights(cli.run, cli.datamodule)
        print(format_rows([*format_metrics(metrics), ("weights", str(cli.run.weights))]))
        print(f"to test it and write its report: uv run cifar-train report {_shown(cli)}")


def run(cli: TrainCLI, *, started: float, command: list[str]) -> None:
    """Trains, evaluates the test set and prints the metrics, writes weights and summary, then report and gallery.

    ``started`` is the `time.perf_counter()` at which the command line ``command`` began.
    """
    trainer, place = cli.trainer, cli.run
    limit = trainer.limit_test_batches
    if limit and (isinstance(limit, int) or limit < 1):
        raise ValueError(
            f"trainer.limit_test_batches is {limit}, but the results are those of the whole test set; leave it (or "
            "fast_dev_run) out, or train without a test with cifar-train fit"
        )
    check_data(cli)
    datamodule = cli.datamodule
    # Before the training, so that a wrong file fails at once.
    people = cli.config_init.human.read(datamodule) if trainer.is_global_zero else None
    _train(cli)
    validation = {name: value for name, value in _metrics(trainer).items() if name.startswith("val")}
    checkpoint = str(place.trained) if place.trained.exists() else None
    model = None if checkpoint else cli.model
    trainer.test(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    if not trainer.is_global_zero:
        return
    tested = _metrics(trainer)
    # Not known for a resumed run, whose earlier starts took time too.
    wall_seconds = None if cli.checkpoint else round(time.perf_counter() - started, 3)
    files = {"run": place.path, "summary": place.summary}
    if _has_weights(cli):
        found = write_weights(place, datamodule, tested=tested)
        # The trainer's are those of the last epoch; these are the best checkpoint's.
        validation = {name: found[name] for name in validation if name in found}
        files["weights"] = place.weights
    summary = Summary(
        recipe=cli.config.recipe,
        architecture=cli.model.architecture,
        parameters=sum(p.numel() for p in cli.model.parameters()),
        seed=cli.config.seed_everything,
        epochs=trainer.current_epoch,
        metrics={**validation, **tested},
        wall_seconds=wall_seconds,
        train_seconds=round(cli.throughput.seconds, 3),
        images_per_second=round(cli.throughput.images_per_second, 1),
        data=describe_data(datamodule),
        environment={**describe_environment(), "precision": str(trainer.precision)},
        command=command,
        steps=trainer.global_step,
    )
    write_summary(place.summary, summary)
    rows = format_metrics(tested)
    if wall_seconds is not None:
        rows.append(("wall time", format_duration(wall_seconds)))
    pace = f"{cli.throughput.images_per_second:.0f} images/s"
    rows += [("training", f"{format_duration(cli.throughput.seconds)}, {pace}"), *format_metrics(validation)]
    print(format_rows([*rows, *((label, str(path)) for label, path in files.items())]), flush=True)
    if checkpoint and cli.config.report:
        write_results(place, datamodule, people=people, summary=summary)
        print(f"to see it in the app: uv run cifar-space --run {_shown(cli)}")
    elif checkpoint:
        print(f"to write its report and gallery: uv run cifar-train report {_shown(cli)}")


def _has_weights(cli: TrainCLI) -> bool:
    if not cli.run.trained.exists():
        note = f"no weights file, since {cli.run.checkpoints} has neither best.ckpt nor last.ckpt"
        print(note, file=sys.stderr)
    return cli.run.trained.exists()


def _shown(cli: TrainCLI) -> Path:
    latest = cli.run.path.parent / "latest"
    return latest if latest.resolve() == cli.run.path.resolve() else cli.run.path


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def check_data(cli: TrainCLI) -> None:
    """Opens the data, fits the configuration to it and checks model and sizes; one ValueError has all complaints."""
    cli.datamodule.prepare_data()
    _fit_to_data(cli)
    model, datamodule, complaints = cli.model, cli.datamodule, []
    for check in (
        partial(model.check_classes, datamodule.classes),
        partial(datamodule.setup, "fit"),
        model.make_optimizer,
    ):
        try:
            check()
        except ValueError as error:
            complaints.append(str(error))
    if complaints:
        raise ValueError("; and ".join(complaints))
    # Checks the class names, which would otherwise fail at the first checkpoint.
    input_spec(cli.datamodule)


def _fit_to_data(cli: TrainCLI) -> None:
    """Sets the number of classes, and a validation split of at most a fifth, unless the user has."""
    config, data = cli.config, cli.datamodule
    classes, images = len(data.classes), len(data.dataset.train)
    fitted = []
    if classes != len(CIFAR10.classes) and "num_classes" not in (config.model.arguments or {}):
        config.model.arguments = {**(config.model.arguments or {}), "num_classes": classes}
        fitted.append(f"model.arguments.num_classes is {classes}")
    by_default = config.data.val_size == cli.parser.get_defaults().data.val_size
    if config.data.val_size > images / 5 and by_default and "--data.val_size" not in cli.given:
        config.data.val_size = max(1, images // 10)
        fitted.append(f"data.val_size is {config.data.val_size}, a tenth of the {images:,} training images")
    if fitted:
        if cli.trainer.is_global_zero:
            print(f"to fit the data, {' and '.join(fitted)}", file=sys.stderr)
        # The weights are those of a run that is started with these values.
        L.seed_everything(config.seed_everything, workers=True, verbose=False)
        cli.config_init = cli.parser.instantiate_classes(config)
        cli.model, cli.datamodule = cli.config_init.model, cli.config_init.data


def _train(cli: TrainCLI) -> None:
    model, trainer, place = cli.model, cli.trainer, cli.run
    resumed = _read_resumed(cli, cli.checkpoint) if cli.checkpoint else None
    begun = False

    def begin(*_: Any) -> None:
        nonlocal begun
        begun = True
        if resumed is not None:
            drop_later_rows(place.metrics, step=resumed["global_step"], epoch=batches_done(resumed)[0])
        cli.save_config()

    def count_steps(*_: Any) -> None:
        # For the logs; where a run is resumed after a validation Lightning counts a step that is not made.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    with contextlib.ExitStack() as stack:
        if trainer.is_global_zero:
            stack.enter_context(claim(place))
            count = sum(p.numel() for p in model.parameters())
            print(f"{model.architecture}, {count:,} parameters, into {place.path}", file=sys.stderr)
            # Until then Lightning may refuse a setting, and the files of a resumed run must stay as they are.
            first = LambdaCallback(on_train_start=begin, on_train_batch_start=count_steps)
            trainer.callbacks.insert(0, first)  # type: ignore[attr-defined]
        before = set(place.path.rglob("*"))
        try:
            trainer.fit(model, datamodule=cli.datamodule, ckpt_path=cli.checkpoint, weights_only=True)
        except BaseException:
            if trainer.is_global_zero and not begun:
                for path in set(place.path.rglob("*")) - before:  # of the loggers
                    if path.is_file():
                        path.unlink()
            elif trainer.is_global_zero and place.last.exists():
                print(f"to resume: uv run cifar-train --ckpt_path {place.last}", file=sys.stderr)
            raise


def _read_resumed(cli: TrainCLI, path: Path) -> dict[str, Any]:
    """Reads the checkpoint to resume and checks that it fits, before anything of the run is written."""
    trainer = cli.trainer
    others = " or ".join(str(p) for p in (cli.run.best, cli.run.last) if p != path and p.is_file())
    instead = f"resume {others}" if others else "start a new run, without --ckpt_path"
    try:
        checkpoint = read_checkpoint(path)
    except ValueError as error:
        raise ValueError(f"{error}; {instead}") from error
    epochs, batches = batches_done(checkpoint)
    if batches % trainer.accumulate_grad_batches:
        raise ValueError(
            f"{path} was saved after batch {batches} of an epoch, between two optimizer steps of "
            f"{trainer.accumulate_grad_batches} batches each; {instead}"
        )
    if changed := list(_changed_settings(checkpoint, cli)):
        raise ValueError(
            f"{path} cannot be resumed with other settings: {'; '.join(changed)}; leave out what differs to "
            "resume, or --ckpt_path to start a new run"
        )
    steps = checkpoint["global_step"]
    # The test set would be evaluated again.
    tested = cli.command == "run" and cli.run.summary.exists()
    for name, begun, finished, limit in (
        ("epochs", epochs + (batches > 0), epochs, trainer.max_epochs),
        ("steps", steps, steps, trainer.max_steps),
    ):
        if limit is None or limit < 1:
            continue
        if limit < begun:
            raise ValueError(
                f"trainer.max_{name} is {limit}, but {path} has {begun} already; set it to {begun} or more, or "
                "leave out --ckpt_path to start a new run"
            )
        if tested and limit == finished:
            raise ValueError(
                f"the run is finished: all of its {limit} {name} are trained and tested; set trainer.max_{name} "
                "to more to resume it, or write its report with cifar-train report"
            )
    return checkpoint


def _changed_settings(checkpoint: dict[str, Any], cli: TrainCLI) -> Iterator[str]:
    described = checkpoint[CHECKPOINT_KEY]
    asked = run_settings(cli.model, cli.datamodule, cli.trainer)
    # Checkpoints of earlier versions have no settings.
    stored = {
        "model.architecture": described["architecture"],
        "model.arguments": described["arguments"],
        "data": described["data_fingerprint"],
        **described.get("settings", {}),
    }
    for name, value in stored.items():
        if name in asked and asked[name] != value:
            yield f"{name} is {json.dumps(asked[name])} instead of {json.dumps(value)}"
