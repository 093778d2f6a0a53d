"""The results of a run: report, gallery and model card, written from its weights file."""

import sys
from dataclasses import replace

from cifar_data import CIFAR10DataModule
from cifar_explain import Evaluation, Gallery, find_errors, make_gallery, write_gallery
from cifar_models import Weights, load_weights
from cifar_models.atomic import write_at_once
from cifar_train.report.analysis import People, analyze
from cifar_train.report.figures import write_figures
from cifar_train.report.model_card import model_card
from cifar_train.report.page import render_page
from cifar_train.runs.directory import RunDirectory
from cifar_train.runs.history import read_history
from cifar_train.runs.summary import Summary, write_summary


def write_results(
    run: RunDirectory, datamodule: CIFAR10DataModule, *, people: People | None, summary: Summary
) -> None:
    """Analyses a run's weights file, writes report, gallery and model card, and prints their paths.

    ``summary`` has the run's numbers so far; it is stored again with those of the analysis.
    """
    weights = load_weights(run.weights)
    analysis = analyze(weights, datamodule, people=people, say=_say)
    _say("figures and page")
    history = read_history(run.metrics) if run.metrics.exists() else None
    figures = write_figures(run.figures, analysis, history=history, datamodule=datamodule)
    completed = replace(summary, analysis=analysis.to_dict())
    page = render_page(analysis, completed, history=history, figures=figures, config=run.read_config())
    write_at_once(run.page, page.encode())
    # After the page, which it describes.
    write_summary(run.summary, completed)
    write_gallery(make_test_gallery(analysis.test, datamodule, weights, people=people), run.gallery)
    write_at_once(run.card, model_card(weights, completed, filename=run.weights.name).encode())
    print(f"report   {run.page}\ngallery  {run.gallery}\ncard     {run.card}")


def _say(what: str) -> None:
    print(f"report: {what}", file=sys.stderr, flush=True)


def make_test_gallery(
    test: Evaluation, datamodule: CIFAR10DataModule, weights: Weights, *, people: People | None
) -> Gallery:
    """Returns the gallery of the test set, tied to the weights file."""
    errors = find_errors(test.probabilities, test.labels, class_names=test.class_names)
    return make_gallery(
        test.probabilities,
        test.labels,
        datamodule.dataset.test.images,
        class_names=test.class_names,
        weights_sha256=weights.sha256,
        human=people(errors) if people else None,
    )
