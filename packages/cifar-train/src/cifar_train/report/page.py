"""The report as one HTML file that needs nothing beside it."""

import base64
import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_data import CANONICAL_FINGERPRINT
from cifar_explain import RANDOM, THEMES, VERDICTS, heat_colours, most_confused
from cifar_models.weights.card import TEST_ACCURACIES, TTA_NOTE
from cifar_train.formatting import count_noun, format_duration, percent
from cifar_train.report.analysis import Analysis
from cifar_train.runs.history import History
from cifar_train.runs.summary import Summary

# Columns of the table of epochs.
_EPOCH_COLUMNS = {
    "epoch": ("epoch", "{:g}".format),
    "train_loss_epoch": ("training loss", "{:.4f}".format),
    "train_accuracy": ("training accuracy", percent),
    "val_loss": ("validation loss", "{:.4f}".format),
    "val_accuracy": ("validation accuracy", percent),
}


def render_page(
    analysis: Analysis,
    summary: Summary,
    *,
    history: History | None,
    figures: Mapping[str, tuple[Path, Path]],
    config: str,
) -> str:
    """Returns the page with all images embedded.

    Args:
        analysis: Analysis of the run's weights.
        summary: The run's numbers.
        history: The run's curves, if it logged any.
        figures: PNG files for light and dark pages, as from `write_figures`.
        config: The run's configuration, YAML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cifar_train.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "duration": format_duration, "count": count_noun}
    rows = history.rows if history else []
    columns = [name for name in _EPOCH_COLUMNS if any(name in row for row in rows)]
    return environment.get_template("report.html").render(
        analysis=analysis,
        summary=summary,
        themes=THEMES,
        figures={name: _embedded(*paths) for name, paths in figures.items()},
        config=config,
        command=shlex.join(summary.command),
        cifar10=summary.data.get("fingerprint") == CANONICAL_FINGERPRINT,
        accuracies=_accuracies(analysis, summary),
        tta_note=TTA_NOTE,
        log_heads=[_EPOCH_COLUMNS[name][0] for name in columns],
        log_rows=[
            [_EPOCH_COLUMNS[name][1](row[name]) if name in row else "" for name in columns] for row in rows
        ],
        confident=int((analysis.calibrated[analysis.errors.indices].max(axis=1, initial=0) >= 0.9).sum()),
        verdicts=VERDICTS,
        cards=[_card(analysis, number) for number in range(len(analysis.shown.errors))],
        map_sizes=", ".join(
            f"{layer} {height}x{width}" for layer, (height, width) in analysis.layers.items()
        ),
        pairs=most_confused(analysis.confusion, count=8, class_names=analysis.test.class_names),
        mean_confidence=float(analysis.test.probabilities.max(axis=1).mean()),
        advantages=_advantages(analysis),
    )


def _accuracies(analysis: Analysis, summary: Summary) -> list[tuple[str, float]]:
    """Label and value of each test accuracy; that with shifts is known from the run's own test only."""
    measured = {"test_accuracy": analysis.test.accuracy, "test_accuracy_flip": analysis.flip_accuracy}
    found = {**summary.metrics, **measured}
    return [(label, found[name]) for name, label in TEST_ACCURACIES.items() if name in found]


def _card(analysis: Analysis, number: int) -> dict[str, Any]:
    """One misclassified image: names, probabilities, people's votes, and its maps as small images."""
    shown, names = analysis.shown, analysis.test.class_names
    errors = shown.errors
    index, true, predicted = (
        int(part[number]) for part in (errors.indices, errors.labels, errors.predictions)
    )
    rows = [
        (
            names[target],
            [
                (layer, _data_url(heat_colours(heat)))
                for layer, heat in zip(analysis.layers, maps, strict=True)
            ],
        )
        for target, maps in ((predicted, shown.predicted[number]), (true, shown.true[number]))
    ]
    return {
        "index": index,
        "true": names[true],
        "predicted": names[predicted],
        "confidence": float(errors.confidences[number]),
        "chance": float(analysis.test.probabilities[index, true]),
        "human": _human(analysis, index),
        "photo": _data_url(shown.images[number]),
        "rows": rows,
    }


def _human(analysis: Analysis, index: int) -> str:
    if analysis.human is None:
        return ""
    position = int(np.searchsorted(analysis.errors.indices, index))
    verdict = analysis.human.verdicts[position]
    if analysis.human.votes is None:
        return verdict
    votes = analysis.human.votes[position]
    most = [int(k) for k in np.argsort(-votes, kind="stable")[:2] if votes[k] > 0]
    said = ", ".join(f"{analysis.test.class_names[k]} {percent(votes[k], digits=0)}" for k in most)
    return f"people: {said} ({verdict})"


def _advantages(analysis: Analysis) -> list[dict[str, Any]]:
    """The maps' advantages over random maps of the same size, the greatest first."""
    randoms = {row.layer: row for row in analysis.faithfulness if row.method == RANDOM}
    found = []
    for row in analysis.faithfulness:
        if row.method != RANDOM:
            mean, error = row.advantage_over(randoms[row.layer])
            found.append({"method": row.method, "layer": row.layer, "mean": mean, "error": error})
    return sorted(found, key=lambda entry: -entry["mean"])


def _embedded(light: Path, dark: Path) -> dict[str, Any]:
    with Image.open(light) as image:
        width, height = image.size
    return {
        "light": _url(light.read_bytes()),
        "dark": _url(dark.read_bytes()),
        "width": width,
        "height": height,
    }


def _data_url(pixels: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return _url(buffer.getvalue())


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
