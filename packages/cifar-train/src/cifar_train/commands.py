"""What each command does, once its arguments are parsed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal

import lightning as L
import torch

from cifar_data import CIFAR10DataModule
from cifar_models import load_weights
from cifar_train.checkpoint import export_checkpoint, read_checkpoint, run_metrics, run_recipe
from cifar_train.environment import describe_environment
from cifar_train.loggers import drop_later_rows
from cifar_train.module import LitClassifier, input_spec
from cifar_train.rundir import find_run
from cifar_train.summary import Summary, format_metrics, format_summary, write_summary
from cifar_train.training_cli import TrainCLI


def fit(cli: TrainCLI) -> None:
    """Train, then write the weights file of the best checkpoint; say how to go on if it is cut short."""
    datamodule, model, trainer, run = cli.datamodule, cli.model, cli.trainer, cli.run
    if trainer.is_global_zero:
        count = sum(p.numel() for p in model.parameters())
        print(f"{model.architecture}, {count:,} parameters, into {run.path}", file=sys.stderr)
        if cli.checkpoint is not None:
            drop_later_rows(run.metrics, step=read_checkpoint(cli.checkpoint)["global_step"])
    finished = False
    try:
        trainer.fit(model, datamodule=datamodule, ckpt_path=cli.checkpoint, weights_only=True)
        finished = True
    finally:
        if not finished and trainer.is_global_zero and run.last.exists():
            print(f"to go on: cifar-train --ckpt_path {run.last}", file=sys.stderr)
    if trainer.is_global_zero and run.best.exists():
        validation = {name: value for name, value in _metrics(trainer).items() if name.startswith("val")}
        export_checkpoint(run.best, run.weights, recipe=run_recipe(run), metrics=validation)


def run(cli: TrainCLI, *, started: float, command: list[str]) -> None:
    """Train, read the test set once, write weights and summary, print the table.

    Args:
        cli: The parsed command.
        started: `time.perf_counter()` when the command began.
        command: The command line, for the summary.
    """
    fit(cli)
    trainer, place = cli.trainer, cli.run
    validation = {name: value for name, value in _metrics(trainer).items() if name.startswith("val")}
    checkpoint = "best" if place.best.exists() else None
    trainer.test(
        None if checkpoint else cli.model,
        datamodule=cli.datamodule,
        ckpt_path=checkpoint,
        weights_only=True,
        verbose=False,
    )
    if not trainer.is_global_zero:
        return
    metrics = {**validation, **_metrics(trainer)}
    throughput = cli.throughput
    dataset = cli.datamodule.dataset
    summary = Summary(
        recipe=cli.config.recipe,
        architecture=cli.model.architecture,
        parameters=sum(p.numel() for p in cli.model.parameters()),
        seed=cli.config.seed_everything,
        epochs=trainer.current_epoch,
        metrics=metrics,
        wall_seconds=round(time.perf_counter() - started, 1),
        train_seconds=round(throughput.seconds, 1),
        images_per_second=round(throughput.images_per_second, 1),
        data={
            "origin": dataset.origin,
            "fingerprint": dataset.fingerprint,
            "train": cli.datamodule.train_size,
            "val": cli.config.data.val_size,
            "test": len(dataset.test.labels),
        },
        environment=describe_environment(),
        command=command,
    )
    write_summary(place.summary, summary)
    places = {"run": place.path, "summary": place.summary}
    if place.best.exists():
        export_checkpoint(place.best, place.weights, recipe=run_recipe(place), metrics=metrics)
        places["weights"] = place.weights
    print(format_summary(summary, places))


def test(datamodule: CIFAR10DataModule, *, weights: Path | None, run: Path) -> dict[str, float]:
    """Read the test set once with a weights file and print the metrics.

    Args:
        datamodule: The data.
        weights: The weights file; by default that of `run`.
        run: A run directory.

    Raises:
        ValueError: If the weights expect other classes or another normalisation than the data has.
        FileNotFoundError: If there is no such file.
    """
    path = weights or find_run(run).weights
    loaded = load_weights(path)
    trainer = L.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    model = LitClassifier(architecture=loaded.architecture, arguments=loaded.arguments)
    model.net.load_state_dict(loaded.model.state_dict())
    datamodule.prepare_data()
    datamodule.setup("test")
    found = input_spec(datamodule)
    if found.classes != loaded.spec.classes:
        raise ValueError(f"{path} knows the classes {loaded.spec.classes}, the data has {found.classes}")
    expected = torch.tensor([loaded.spec.mean, loaded.spec.std])
    if not torch.allclose(expected, torch.tensor([found.mean, found.std]), atol=1e-4):
        raise ValueError(
            f"{path} expects images normalised with mean {loaded.spec.mean} and std {loaded.spec.std}, "
            f"the data has {found.mean} and {found.std}; give the data it was trained on"
        )
    trainer.test(model, datamodule=datamodule, verbose=False)
    metrics = _metrics(trainer)
    for label, value in format_metrics(metrics):
        print(f"{label:<20}  {value}")
    return metrics


def export(
    run: Path = Path("runs/latest"),
    out: Path = Path("model.safetensors"),
    checkpoint: Literal["best", "last"] = "best",
    dtype: Literal["float32", "float16"] = "float16",
) -> None:
    """Write a run's weights file: the model, its input contract, recipe and metrics in one .safetensors.

    Args:
        run: The run directory.
        out: The file to write.
        checkpoint: Which of the run's checkpoints.
        dtype: Of the stored weights; float16 halves the file.
    """
    found = find_run(run)
    source = found.best if checkpoint == "best" else found.last
    metrics = run_metrics(found) if checkpoint == "best" else {}
    export_checkpoint(source, out, recipe=run_recipe(found), metrics=metrics, dtype=dtype)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB  {dtype}")


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
