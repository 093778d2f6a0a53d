"""The model's page as HTML: what it is, what it reached, how to repeat and to use it. Everything is escaped."""

import json
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from cifar_space.artifacts.model_facts import USE, Facts
from cifar_space.artifacts.report_files import Figure, Report
from cifar_space.views.charts import class_chart, reliability_chart, reliability_legend
from cifar_space.views.fragments import percent

# What the metrics of `cifar-train` mean; others are shown under their own names.
_TITLES = {
    "test_accuracy": "test accuracy",
    "test_accuracy_flip": "with mirrored twin",
    "test_accuracy_tta": "with mirrored twin and shifts",
    "test_loss": "test loss",
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
}

_CAPTIONS = {
    "curves": "Loss and accuracy while training",
    "confusion": "Which classes are taken for which",
    "classes": "How well each class is recognised",
    "reliability": "How far confidence can be believed",
    "faithfulness": "How faithful the maps of each method and layer are",
    "augmentation": "What the network was shown in training",
    "misclassified": "Misclassified test images with maps",
}


def model_card(facts: Facts, report: Report | None = None) -> str:
    """Return all that is known of the model.

    Args:
        facts: What is known.
        report: Of the run that trained it, for its figures.
    """
    drawn = {"misclassified"} | ({"classes", "reliability", "confusion"} if facts.split else set())
    names = [name for name in (report.figures if report else ()) if name not in drawn]
    parts = [
        _section("The network", _table(_identity(facts))),
        _section("What it reached", _metrics(facts)),
        *(_section(_CAPTIONS[name], report_figure(name, report.figures[name])) for name in names if report),
        *_measured(facts),
        _section("Repeat the training", _repeat(facts)),
        _section(
            "Use the weights",
            "<p>In Python, with the package cifar-models and the weights file of a run or of this app:</p>"
            + _code(USE),
        ),
        _section("Recipe", _recipe(facts)),
    ]
    return f'<div class="sections">{"".join(parts)}</div>'


def report_figure(name: str, files: Figure) -> str:
    """Return a figure of the report, light or dark as the page is.

    >>> from pathlib import Path
    >>> report_figure("curves", Figure(Path("/r/curves.png"), Path("/r/curves.png")))
    '<img class="report" src="/gradio_api/file=/r/curves.png" alt="Loss and accuracy while training" loading="lazy">'
    """
    alt = escape(_CAPTIONS[name])
    images = (
        [(files.light, "")]
        if files.light == files.dark
        else [(files.light, " by-day"), (files.dark, " by-night")]
    )
    return "".join(
        f'<img class="report{kind}" src="/gradio_api/file={quote(str(path))}" alt="{alt}" loading="lazy">'
        for path, kind in images
    )


def command(text: str) -> str:
    """Return a command for a shell, as a block that the keyboard can scroll.

    >>> command("uv run cifar-train")
    '<pre tabindex="0"><code>uv run cifar-train</code></pre>'
    """
    return _code(text)


def _identity(facts: Facts) -> Iterable[tuple[str, str]]:
    yield "architecture", facts.architecture
    if facts.arguments:
        yield "arguments", json.dumps(facts.arguments, ensure_ascii=False)
    yield "parameters", f"{facts.parameters:,}"
    yield "classes", ", ".join(facts.classes)
    yield "input", f"RGB, {facts.size}x{facts.size} pixels, scaled and cropped to a square"
    yield "mean", ", ".join(f"{value:.4f}" for value in facts.mean)
    yield "standard deviation", ", ".join(f"{value:.4f}" for value in facts.std)
    yield "stored as", facts.dtype
    yield "SHA-256 of the weights", facts.sha256
    yield "fingerprint of the data", facts.fingerprint or "unknown"


def _metrics(facts: Facts) -> str:
    made = []
    for name in [
        *(name for name in _TITLES if name in facts.metrics),
        *sorted(facts.metrics.keys() - _TITLES),
    ]:
        value = facts.metrics[name]
        text = percent(value) if "accuracy" in name and 0 <= value <= 1 else f"{value:.4g}"
        made.append(f"<div><dt>{escape(_TITLES.get(name, name))}</dt><dd>{escape(text)}</dd></div>")
    if not made:
        return "<p>The weights file tells nothing of it.</p>"
    return f'<dl class="metrics">{"".join(made)}</dl>'


def _measured(facts: Facts) -> Iterable[str]:
    if facts.classes_report is not None:
        yield _section(f"Each class, on the {facts.split} split", class_chart(facts.classes_report))
    if facts.calibration is not None:
        yield _section(
            f"Calibration, on the {facts.split} split",
            "<p>On the diagonal, of the pictures that it is 90 % sure of, it is right about 90 %. "
            "A dot's area is its share of the images.</p>"
            f'<div class="chart">{reliability_chart(facts.calibration)}{reliability_legend(facts.calibration)}</div>',
        )
    if facts.familiarity is not None:
        known = facts.familiarity
        yield _section(
            "None of the classes",
            "<p>A picture is marked as looking like none of the classes if its calibrated probability (at the "
            f"temperature {known.temperature:.3f}) is below {percent(known.lowest_confidence)}, or its energy above "
            f"{known.highest_energy:.3f}. The energy is minus the logarithm of the sum of exp(score) over all "
            "classes, of the network's scores before any temperature: it is high where no class scores well. The "
            "thresholds were chosen on "
            f"{known.images:,} validation images, of which {percent(known.false_alarm_rate)} are flagged by "
            "mistake.</p>",
        )


def _repeat(facts: Facts) -> str:
    if facts.command is not None:
        return _code(facts.command)
    if facts.starting_point is not None:
        return f"<p>Its exact command is not known; it started from this recipe:</p>{_code(facts.starting_point)}"
    return "<p>Neither its command nor its recipe is known.</p>"


def _recipe(facts: Facts) -> str:
    if not facts.recipe:
        return "<p>The weights file tells nothing of it.</p>"
    text = json.dumps(facts.recipe, indent=2, ensure_ascii=False, sort_keys=True)
    return f"<details><summary>All settings</summary>{_code(text)}</details>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    made = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="facts">{made}</dl>'


def _code(text: str) -> str:
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
