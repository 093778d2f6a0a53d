"""Charts of the model's page, as HTML and SVG that take their colours from the page's theme."""

import math
from collections.abc import Sequence
from html import escape

from cifar_explain import ClassReport, ReliabilityCurve
from cifar_space.artifacts.model_facts import Calibration
from cifar_space.views.fragments import percent

# The plot's square in the units of its view box, and the room around it for the labels.
_SIDE = 240
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 10, 14, 40

# Radius of the dot of a bin that holds all images.
_RADIUS = 16


def class_chart(reports: Sequence[ClassReport]) -> str:
    """Return how well each class is recognised: a table with two bars for each class.

    Where a rate is of nothing, that is said in its place.

    >>> class_chart([ClassReport("cat", float("nan"), 0.0, 0.0, 4, 0)])
    '<table class="classes">...cat...0.0 %...<small>never predicted</small>...
    """
    rows = "".join(
        f'<tr><th scope="row">{escape(report.name)}</th>{_rate(report.recall, undefined="no image of it")}'
        f"{_rate(report.precision, undefined='never predicted')}</tr>"
        for report in reports
    )
    return (
        '<table class="classes"><thead><tr><th scope="col">class</th>'
        '<th scope="col">recall <small>of its images, found</small></th>'
        '<th scope="col">precision <small>of its findings, right</small></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def reliability_chart(calibration: Calibration) -> str:
    """Return accuracy by confidence as a drawing: on the diagonal, confidence can be taken at its word.

    >>> import numpy as np
    >>> curve = ReliabilityCurve(np.array([0.5, 0.9]), np.array([0.4, 0.9]), np.array([10, 30]))
    >>> reliability_chart(Calibration(curve, None)).count("<circle")
    2
    """
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
    ticks = "".join(_tick(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    curves = _curve(calibration.plain, "plain")
    if calibration.calibrated is not None:
        curves += _curve(calibration.calibrated, "calibrated")
    middle = _TOP + _SIDE / 2
    return (
        f'<svg class="reliability" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(_words(calibration))}">{ticks}'
        f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>{curves}'
        f'<text x="{_x(0.5)}" y="{height - 6}" text-anchor="middle">confidence</text>'
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">accuracy</text></svg>'
    )


def reliability_legend(calibration: Calibration) -> str:
    """Return what the curves are, with their calibration errors.

    >>> import numpy as np
    >>> curve = ReliabilityCurve(np.array([0.5]), np.array([0.4]), np.array([10]))
    >>> reliability_legend(Calibration(curve, None))
    '<ul class="legend"><li class="plain">as the model gives it: off by 10.0 points on average</li></ul>'
    """
    items = [("plain", "as the model gives it", calibration.plain)]
    if calibration.calibrated is not None:
        items.append(("calibrated", "calibrated", calibration.calibrated))
    lines = "".join(
        f'<li class="{kind}">{words}: off by {_points(curve.calibration_error)} on average</li>'
        for kind, words, curve in items
    )
    return f'<ul class="legend">{lines}</ul>'


def _points(difference: float) -> str:
    return escape(percent(difference).replace("%", "points"))


def _rate(share: float, *, undefined: str) -> str:
    if math.isnan(share):
        return f"<td><small>{escape(undefined)}</small></td>"
    return (
        f'<td><span class="value">{escape(percent(share))}</span>'
        f'<span class="track"><span style="width:{100 * share:.2f}%"></span></span></td>'
    )


def _curve(curve: ReliabilityCurve, kind: str) -> str:
    points = [
        (_x(float(confidence)), _y(float(accuracy)))
        for confidence, accuracy in zip(curve.confidences, curve.accuracies, strict=True)
    ]
    total = int(curve.counts.sum())
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    # A dot's area is its share of the images.
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(2.0, _RADIUS * math.sqrt(int(count) / total)):.1f}"/>'
        for (x, y), count in zip(points, curve.counts, strict=True)
    )
    return f'<g class="{kind}"><polyline points="{line}"/>{dots}</g>'


def _tick(share: float) -> str:
    return (
        f'<line class="grid" x1="{_x(0)}" y1="{_y(share)}" x2="{_x(1)}" y2="{_y(share)}"/>'
        f'<text x="{_LEFT - 6}" y="{_y(share) + 4}" text-anchor="end">{100 * share:g}</text>'
        f'<text x="{_x(share)}" y="{_y(0) + 16}" text-anchor="middle">{100 * share:g}</text>'
    )


def _words(calibration: Calibration) -> str:
    words = "; ".join(
        f"{float(confidence):.0%} sure, {float(accuracy):.0%} right"
        for confidence, accuracy in zip(
            calibration.plain.confidences, calibration.plain.accuracies, strict=True
        )
    )
    return f"Accuracy by confidence: {words}"


def _x(share: float) -> float:
    return _LEFT + _SIDE * share


def _y(share: float) -> float:
    return _TOP + _SIDE * (1 - share)
