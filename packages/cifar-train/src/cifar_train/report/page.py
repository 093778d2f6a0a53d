"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from numpy.typing import NDArray
from PIL import Image

from cifar_explain import THEMES, heat_colours
from cifar_train.report.analysis import Findings
from cifar_train.report.figures import FIGURES
from cifar_train.report.page_run import describe_origin, describe_result, describe_training
from cifar_train.report.sections import (
    describe_calibration,
    describe_classes,
    describe_error,
    describe_errors,
    describe_faithfulness,
)
from cifar_train.runs.history import History
from cifar_train.runs.summary import Summary


def render_page(
    findings: Findings,
    summary: Summary,
    *,
    history: History | None,
    figures: Mapping[str, tuple[Path, Path]],
    config: str,
) -> str:
    """The page; pictures are part of it, and it names no other file or host.

    Args:
        findings: What was found out about the weights.
        summary: The run's numbers.
        history: The run's curves, if it logged any.
        figures: PNG files for light and dark, by names of :data:`cifar_train.report.figures.FIGURES`.
        config: The run's configuration, YAML.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("report.html")).render(
        # The style sheet is our own; everything else is escaped.
        css=markupsafe.Markup(_resource("report.css")),  # noqa: S704
        themes=THEMES,
        figures={name: _embedded(*figures[name]) if name in figures else None for name in FIGURES},
        cards=_cards(findings),
        layer_count=len(findings.layers),
        config=config,
        **describe_result(findings, summary),
        **describe_training(history),
        **describe_errors(findings),
        **describe_classes(findings),
        **describe_calibration(findings),
        **describe_faithfulness(findings),
        **describe_origin(summary),
    )


def _cards(findings: Findings) -> list[dict[str, Any]]:
    """The closely looked at errors, with photo and maps as small pictures that the browser enlarges."""
    shown = findings.shown
    cards = []
    for number in range(len(shown.errors)):
        words = describe_error(findings, number)
        maps = [
            {
                "for": target,
                "maps": [_heat(layer, heat) for layer, heat in zip(findings.layers, rows, strict=True)],
            }
            for target, rows in (
                (words["predicted"], shown.predicted[number]),
                (words["true"], shown.true[number]),
            )
        ]
        cards.append({**words, "photo": _data_url(shown.images[number]), "rows": maps})
    return cards


def _heat(layer: str, heat: NDArray[Any]) -> dict[str, str]:
    return {"layer": layer, "heat": _data_url(heat_colours(heat))}


def _embedded(light: Path, dark: Path) -> dict[str, Any]:
    with Image.open(light) as picture:
        width, height = picture.size
    urls = (_as_url(path.read_bytes()) for path in (light, dark))
    return {"light": next(urls), "dark": next(urls), "width": width, "height": height}


def _data_url(pixels: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return _as_url(buffer.getvalue())


def _as_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _resource(name: str) -> str:
    return (files("cifar_train") / "templates" / name).read_text(encoding="utf-8")
