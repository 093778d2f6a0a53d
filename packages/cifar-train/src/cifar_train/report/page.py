"""The report as one HTML file that needs nothing beside it."""

import base64
import copy
import io
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from cifar_data import CANONICAL_FINGERPRINT
from cifar_explain import RANDOM, THEMES, heat_colours, most_confused
from cifar_models.weights.card import TEST_ACCURACIES, TTA_NOTE
from cifar_train.formatting import count_noun, format_duration, percent
from cifar_train.recipes import list_recipes, recipe_path
from cifar_train.report.analysis import Analysis
from cifar_train.report.model_card import section, setting_rows
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
    config: dict[str, Any],
) -> str:
    """Returns the page of a run with its configuration, all images embedded.

    ``figures`` are PNG files for light and dark pages, as from `write_figures`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cifar_train.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "duration": format_duration, "count": count_noun}
    known = summary.recipe in list_recipes()
    recipe = yaml.safe_load(recipe_path(summary.recipe).read_text("utf-8")) if known else {}
    measured = {"test_accuracy": analysis.test.accuracy, "test_accuracy_flip": analysis.flip_accuracy}
    model = section(config, "model")
    rows = history.rows if history else []
    columns = [name for name in _EPOCH_COLUMNS if any(name in row for row in rows)]
    return environment.get_template("report.html").render(
        analysis=analysis,
        summary=summary,
        themes=THEMES,
        figures={name: _embedded(*paths) for name, paths in figures.items()},
        low_resolution=section(model, "low_resolution"),
        settings=list(setting_rows(config, summary)),
        changes=list(_changes(recipe, config)),
        yaml=_as_yaml(config),
        smoothed=model.get("label_smoothing"),
        command=shlex.join(summary.command),
        cifar10=summary.data.get("fingerprint") == CANONICAL_FINGERPRINT,
        # That with shifts is known from the run's own test only.
        accuracies=summary.metrics | measured,
        labels=TEST_ACCURACIES,
        tta_note=TTA_NOTE,
        log_heads=[_EPOCH_COLUMNS[name][0] for name in columns],
        log_rows=[
            [_EPOCH_COLUMNS[name][1](row[name]) if name in row else "" for name in columns] for row in rows
        ],
        confident=int((analysis.errors.confidences >= 0.9).sum()),
        cards=list(_cards(analysis)),
        pairs=[
            (pair.true, pair.predicted, pair.count, percent(pair.share))
            for pair in most_confused(analysis.confusion, count=8, class_names=analysis.test.class_names)
        ],
        mean_confidence=analysis.test.probabilities.max(axis=1).mean(),
        advantages=_advantages(analysis),
    )


def _percent(share: float, digits: int = 2) -> str:
    # In a sentence no line may begin with the sign.
    return percent(share, digits).replace(" ", "\N{NO-BREAK SPACE}")


def _cards(analysis: Analysis) -> Iterator[dict[str, Any]]:
    shown, errors, names = analysis.shown, analysis.shown.errors, analysis.test.class_names
    for number, index in enumerate(errors.indices.tolist()):
        true, predicted = names[errors.labels[number]], names[errors.predictions[number]]
        maps = (predicted, shown.predicted[number]), (true, shown.true[number])
        yield {
            "index": index,
            "true": true,
            "predicted": predicted,
            "confidence": errors.confidences[number],
            "chance": errors.confidences[number] - errors.margins[number],
            "human": _human(analysis, index),
            "photo": _data_url(shown.images[number]),
            "rows": [(name, [_data_url(heat_colours(heat)) for heat in layers]) for name, layers in maps],
        }


def _human(analysis: Analysis, index: int) -> str:
    if analysis.human is None:
        return ""
    position = int(np.searchsorted(analysis.errors.indices, index))
    verdict = analysis.human.verdicts[position]
    if analysis.human.votes is None:
        return verdict
    votes, names = analysis.human.votes[position], analysis.test.class_names
    most = [k for k in np.argsort(-votes, kind="stable")[:2] if votes[k] > 0]
    said = ", ".join(f"{names[k]} {percent(votes[k], digits=0)}" for k in most)
    return f"people: {said} ({verdict})"


def _changes(recipe: dict[str, Any], config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields name, value and the recipe's value of each setting of the recipe that the run changed."""
    for name, value in recipe.items():
        if isinstance(value, dict):
            yield from _changes(value, section(config, name), f"{prefix}{name}.")
            continue
        found = config.get(name)
        # A recipe names an optimizer by its class alone.
        found = found.get("class_path") if isinstance(found, dict) else found
        # The recipe leaves what is None to the machine.
        if value is not None and found != value:
            yield f"{prefix}{name}", "not set" if found is None else found, value


def _as_yaml(config: dict[str, Any]) -> str:
    shown = copy.deepcopy(config)
    # Without effect: the learning rate is `model.lr`.
    section(section(section(shown, "model"), "optimizer"), "init_args").pop("lr", None)
    return yaml.safe_dump(shown, sort_keys=False)


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
        size = {"width": image.width, "height": image.height}
    return {"light": _url(light.read_bytes()), "dark": _url(dark.read_bytes()), **size}


def _data_url(pixels: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return _url(buffer.getvalue())


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
