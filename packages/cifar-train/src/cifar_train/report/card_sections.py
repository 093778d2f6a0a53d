"""The sections of a model card, Markdown; one that there is nothing to say in is empty."""

from __future__ import annotations

import json

from cifar_train.formatting import percent
from cifar_train.report.card_facts import CardFacts
from cifar_train.report.card_training import training_rows
from cifar_train.report.markdown import bullets, plain, table

# Confused pairs that the card names.
_PAIRS = 5

_CITATION = """\
CIFAR-10 is by Alex Krizhevsky:

```bibtex
@techreport{krizhevsky2009learning,
  author = {Krizhevsky, Alex},
  title = {Learning Multiple Layers of Features from Tiny Images},
  institution = {University of Toronto},
  year = {2009}
}
```"""


def describe_model(facts: CardFacts) -> str:
    """What it is, in a few sentences, below the title."""
    header, metrics = facts.header, facts.metrics
    what = {
        "cifar10": "the ten classes of CIFAR-10",
        "synthetic": "drawn shapes, made to try things out with",
        "own": f"{len(header.spec.classes)} classes",
    }[facts.kind]
    size = f" with {facts.summary.parameters:,} parameters" if facts.summary else ""
    text = f"An image classifier for {what}: {plain(header.architecture)}{size}, stored in {header.dtype}."
    if "test_accuracy" in metrics:
        images = f"{facts.sizes['test']:,} test images" if "test" in facts.sizes else "the test images"
        text += f" It classifies {percent(metrics['test_accuracy'])} of {images} right."
    classes = ", ".join(map(plain, header.spec.classes))
    return f"# {plain(facts.title)}\n\n{text} Its classes are {classes}."


def describe_use(filename: str) -> str:
    """How to load it and to classify a picture."""
    return f"""\
## Use

```python
from cifar_models import load_weights

weights = load_weights({json.dumps(filename)})
logits = weights.model(weights.spec.preprocess_batch([image]))  # image: any picture that Pillow has opened
print(weights.spec.classes[logits[0].argmax()])
```

Loading executes nothing of the file. The package cifar-models needs torch, numpy, Pillow and safetensors."""


def describe_results(facts: CardFacts) -> str:
    """Accuracies and losses."""
    held_out = f" ({facts.sizes['val']:,} images held out of training)" if "val" in facts.sizes else ""
    labels = {
        "test_accuracy": "test accuracy, one view",
        "test_accuracy_flip": "test accuracy, image and mirror image",
        "test_accuracy_tta": "test accuracy, six views (flip and shift)",
        "test_top3_accuracy": "right class among the first three, one view",
        "val_accuracy": f"validation accuracy{held_out}",
        "test_loss": "test loss (nats)",
        "val_loss": "validation loss (nats)",
    }
    rows = [
        (label, percent(facts.metrics[name]) if "accuracy" in name else f"{facts.metrics[name]:.4f}")
        for name, label in labels.items()
        if name in facts.metrics
    ]
    if not rows:
        return ""
    views = "One view is the image as it is; with more views their logits are averaged."
    return "\n\n".join(["## Results", table(["measure", "value"], rows), views])


def describe_classes(facts: CardFacts) -> str:
    """How well each class is recognised; where a share is of nothing, that is said in its place."""
    rows = [
        (
            plain(entry["name"]),
            _share(entry["recall"], undefined="no test image"),
            _share(entry["precision"], undefined="never predicted"),
        )
        for entry in facts.analysis.get("classes", ())
    ]
    heads = ["class", "accuracy (recall)", "precision"]
    return f"### Each class of the test set\n\n{table(heads, rows)}" if rows else ""


def describe_confidence(facts: CardFacts) -> str:
    """Calibration, and what counts as unfamiliar."""
    known = facts.familiarity
    before = facts.analysis.get("expected_calibration_error")
    after = facts.analysis.get("expected_calibration_error_calibrated")
    parts = []
    if before is not None:
        parts.append(
            f"On the test set confidence and accuracy differ by {percent(before)} on average (expected calibration "
            "error, 15 groups of equally many images)."
        )
    if known is not None:
        fitted = f"At the temperature {known.temperature:.3f}, fitted on {known.images:,} validation images,"
        if after is not None:
            parts[-1] += f" {fitted} it is {percent(after)}: divide the logits by it."
        else:
            parts.append(f"{fitted} confidence is calibrated: divide the logits by it.")
        parts.append(
            "A picture counts as unfamiliar, like none of the classes, if its calibrated confidence is below "
            f"{percent(known.lowest_confidence)} or its energy, -ln(sum(exp(logits))), is above "
            f"{known.highest_energy:.3f}. Of the validation images {percent(known.false_alarm_rate)} count as such. "
            "It is a hint: a picture of something else may well look familiar."
        )
    return "\n\n".join(["## Confidence", *parts]) if parts else ""


def describe_training(facts: CardFacts) -> str:
    """How it was trained."""
    rows = training_rows(facts.header.recipe, facts.summary)
    seeds = (
        "All numbers are of one run. Another seed gives others; how far seeds are apart is told in the README of the "
        "project, for the recipes where it was measured."
    )
    return "\n\n".join(["## Training", table(["setting", "value"], rows), seeds]) if rows else ""


def describe_data(facts: CardFacts) -> str:
    """What it was trained and judged on."""
    spec, settings = facts.header.spec, facts.header.recipe.get("data") or {}
    name = {
        "cifar10": "CIFAR-10",
        "synthetic": "Shapes drawn by cifar-data",
        "own": "Folders of images, one a class",
    }[facts.kind]
    told = {"train": "images trained on", "val": "held out for validation", "test": "to test with"}
    sizes = [f"{count:,} {told[split]}" for split, count in facts.sizes.items()]
    points = [f"{name}: {', '.join(sizes)}." if sizes else f"{name}."]
    if settings.get("val_size") and "split_seed" in settings:
        points.append(f"The validation images are drawn class by class, with seed {settings['split_seed']}.")
    if fingerprint := facts.header.metrics.get("data_fingerprint"):
        points.append(
            f"Fingerprint, a SHA-256 over decoded images, labels and class names: {plain(str(fingerprint))}"
        )
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (spec.mean, spec.std))
    points.append(f"Pixels in [0, 1] are normalised with mean {mean} and standard deviation {std}.")
    return f"## Data\n\n{bullets(points)}"


def describe_limits(facts: CardFacts) -> str:
    """What it cannot do, and what it mistakes most often."""
    spec, analysis = facts.header.spec, facts.analysis
    points = [
        f"It sees {spec.size}x{spec.size} pixels: every picture is first scaled and cropped to a square of that size.",
        f"It knows {len(spec.classes)} classes and gives every picture one of them, also a picture of something else.",
        "What it reaches was measured on images like those it was trained on, and on no others.",
    ]
    pairs = [pair for pair in analysis.get("most_confused", ()) if pair["count"]][:_PAIRS]
    if pairs:
        told = [f"{plain(pair['true'])} for {plain(pair['predicted'])} ({pair['count']:,})" for pair in pairs]
        points.append(f"What it takes for what most often, in test images: {', '.join(told)}.")
    if classes := [entry for entry in analysis.get("classes", ()) if entry["recall"] is not None]:
        worst = min(classes, key=lambda entry: entry["recall"])
        points.append(f"It recognises {plain(worst['name'])} least often: {percent(worst['recall'])}.")
    return f"## Limits\n\n{bullets(points)}"


def describe_intended_use(facts: CardFacts) -> str:
    """What it is for, and what it is not for."""
    purpose = {
        "cifar10": "To learn from, to compare training recipes and explanation methods with, and for demonstrations.",
        "synthetic": "To try the commands out; it has seen no photograph.",
        "own": "To classify pictures like those it was trained on.",
    }[facts.kind]
    rest = "Not for decisions that affect people, nor where a wrong answer does harm: it errs, and at times surely."
    return f"## Intended use\n\n{purpose} {rest}"


def describe_licence(facts: CardFacts) -> str:
    """Who may use it, and whom to cite."""
    if facts.kind == "own":
        return "## Licence\n\nOf the weights: what those say who trained them. Of the code: MIT."
    text = "## Licence\n\nCode and weights: MIT."
    return f"{text} {_CITATION}" if facts.kind == "cifar10" else text


def _share(value: float | None, *, undefined: str) -> str:
    return undefined if value is None else percent(value)
