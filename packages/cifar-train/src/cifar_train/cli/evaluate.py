"""What the commands do that look at what is there already: test, report, gallery, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import lightning as L

from cifar_data import CIFAR10DataModule
from cifar_explain import write_gallery
from cifar_models import load_weights, read_header, save_weights
from cifar_train.report.analysis import find_out
from cifar_train.report.human_labels import HumanAnswers, HumanFiles
from cifar_train.report.model_card import model_card, write_model_card
from cifar_train.report.report import make_test_gallery, predicted_gallery, write_report
from cifar_train.runs.calibration import check_data
from cifar_train.runs.checkpoint import export_checkpoint, run_metrics, run_recipe
from cifar_train.runs.directory import RunDirectory, find_run
from cifar_train.runs.export import run_fingerprint, weights_are_current, write_weights
from cifar_train.runs.hardware import quickest_precision
from cifar_train.runs.summary import Summary, current_summary, format_metrics, format_rows
from cifar_train.training.module import LitClassifier


def test(datamodule: CIFAR10DataModule, *, weights: Path | None, run: Path, record: bool) -> dict[str, float]:
    """Read the test set once with a weights file and print the metrics.

    Args:
        datamodule: The data.
        weights: The weights file; by default that of `run`.
        run: A run directory.
        record: Whether to write what was measured into the file's header; its SHA-256 changes.

    Raises:
        ValueError: If the weights expect other classes or another normalisation than the data has.
        FileNotFoundError: If there is no such file.
    """
    path = weights or find_run(run).weights
    loaded = load_weights(path)
    trainer = L.Trainer(
        # As a training with the recipe's defaults on this machine, so that both give the same numbers.
        precision=quickest_precision(),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    model = LitClassifier(
        architecture=loaded.architecture, arguments=loaded.arguments, test_views="flip_and_shift"
    )
    model.net.load_state_dict(loaded.model.state_dict())
    datamodule.prepare_data()
    datamodule.setup("test")
    check_data(loaded, datamodule)
    trainer.test(model, datamodule=datamodule, verbose=False)
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
            metrics={**loaded.metrics, **metrics, "data_fingerprint": datamodule.fingerprint},
            dtype=loaded.dtype,
        )
    return metrics


def report(run: RunDirectory, datamodule: CIFAR10DataModule, *, human: HumanFiles) -> None:
    """Write the report and the gallery of a run that has trained, wherever it was stopped.

    Args:
        run: The run directory.
        datamodule: The data it was trained on.
        human: What people said about the test images.

    Raises:
        FileNotFoundError: If the run has neither weights file nor checkpoint, or no configuration.
        ValueError: If the data is not what the run was trained on.
    """
    if not (run.weights.exists() or run.best.exists()):
        raise FileNotFoundError(
            f"{run.path} has no checkpoint yet, so there is nothing to report; train it first"
        )
    found = run_fingerprint(run)
    if found is not None and found != datamodule.fingerprint:
        raise ValueError(
            f"{run.path} was trained on data with the fingerprint {found[:12]}..., but "
            f"{datamodule.dataset.origin} has {datamodule.fingerprint[:12]}...; name its data with --data.root"
        )
    if not weights_are_current(run):
        _say(f"{run.weights.name} of the best checkpoint")
        write_weights(
            run, datamodule, dtype=read_header(run.weights).dtype if run.weights.exists() else "float32"
        )
    people = read_people(human, datamodule)
    write_everything(run, datamodule, people=people, summary=current_summary(run, datamodule))


def gallery(
    datamodule: CIFAR10DataModule, *, weights: Path | None, run: Path, out: Path | None, human: HumanFiles
) -> None:
    """Write the gallery of a weights file on the test set.

    Args:
        datamodule: The data.
        weights: The weights file; by default that of `run`.
        run: A run directory.
        out: The folder to write; by default `gallery` of the run.
        human: What people said about the test images.

    Raises:
        ValueError: If the weights expect other classes or another normalisation than the data has.
        FileNotFoundError: If there is no such file.
    """
    loaded = load_weights(weights or find_run(run).weights)
    check_data(loaded, datamodule)
    made = predicted_gallery(loaded, datamodule, people=read_people(human, datamodule))
    folder = out or find_run(run).gallery
    write_gallery(made, folder)
    print(f"{folder}  {len(made.errors):,} errors of {len(made.labels):,} test images")


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
    # Those in the run's own file are of the best checkpoint, unless it was trained on since.
    metrics = run_metrics(found) if checkpoint == "best" and weights_are_current(found) else {}
    export_checkpoint(source, out, recipe=run_recipe(found), metrics=metrics, dtype=dtype)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB  {dtype}")


def write_everything(
    run: RunDirectory, datamodule: CIFAR10DataModule, *, people: HumanAnswers | None, summary: Summary
) -> None:
    """Write report, gallery and model card from the run's weights file, and say where they are."""
    weights = load_weights(run.weights)
    findings = find_out(weights, datamodule, people=people, say=_say)
    _say("figures and page")
    completed = write_report(run, findings, datamodule, summary=summary)
    write_gallery(make_test_gallery(findings, datamodule, weights), run.gallery)
    write_model_card(run.card, model_card(weights, completed, filename=run.weights.name))
    print(f"report   {run.page}\ngallery  {run.gallery}\ncard     {run.card}")


def read_people(human: HumanFiles, datamodule: CIFAR10DataModule) -> HumanAnswers | None:
    """What people said about the test images; None if nobody was asked."""
    if human.counts is None and human.rechecks is None:
        # The data need not be opened yet.
        return None
    return human.read(datamodule.dataset.test.labels, classes=len(datamodule.classes))


def _say(what: str) -> None:
    print(f"report: {what}", file=sys.stderr, flush=True)
