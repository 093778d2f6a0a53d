"""Model cards in Markdown, with the front matter that the Hugging Face Hub reads. Needs the extra `hub`."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from textwrap import indent
from typing import Any, Literal

from cifar_models.weights.header import WeightsHeader

# Dataset type and name of each evaluation result, as the Hub knows them.
_DATASETS = {
    "cifar10": ("uoft-cs/cifar10", "CIFAR-10"),
    "synthetic": ("synthetic", "synthetic shapes"),
    "own": ("imagefolder", "own class folders"),
}

#: Test accuracies by their name in a weights file.
TEST_ACCURACIES = {
    "test_accuracy": "test accuracy",
    "test_accuracy_flip": "test accuracy with TTA (flip)",
    "test_accuracy_tta": "test accuracy with TTA (flip and shift)",
}

#: Explains the names above.
TTA_NOTE = (
    "Test-time augmentation (TTA) classifies an image several times and averages the logits: the image and its mirror "
    "image (flip), or also two shifted copies and their mirror images, which together count half (flip and shift)."
)

# Fitted on the validation images, if the file has them.
_THRESHOLDS = {"temperature", "lowest_confidence", "highest_energy", "false_alarm_rate", "images"}

# The characters with a meaning in Markdown, in HTML within it, and in GitHub's extensions; not the colon of "3:05".
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~^$&#!@=]|(?<!\d):|:(?!\d)")


def model_card(
    header: WeightsHeader,
    *,
    repo_id: str | None = None,
    filename: str = "model.safetensors",
    dataset: Literal["cifar10", "synthetic", "own"] | None = None,
    images: Mapping[str, int] | None = None,
    parameters: int | None = None,
    training: Sequence[tuple[str, str]] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> str:
    """Returns a model card; facts that are not given are left out.

    Args:
        header: Header of the weights file, or its `Weights`. Metrics are accuracies in [0, 1] and losses in nats, named
            as in docs/FORMATS.md.
        repo_id: Hub repository of the card; None for a card beside a local file.
        filename: Name of that local file.
        dataset: Training data: CIFAR-10, drawn shapes or a user's images; None claims neither data nor licence.
        images: Number of images in `train`, `val` and `test`.
        parameters: Number of parameters.
        training: Rows of the table on training, label and value; None to show the stored header instead.
        analysis: `classes`, `most_confused` and calibration errors on the test set, as in `summary.json`.

    Source: M. Mitchell et al., "Model Cards for Model Reporting" (arXiv:1810.03993); huggingface.co/docs/hub.
    """
    load = f"from_pretrained({json.dumps(repo_id)})" if repo_id else f"load_weights({json.dumps(filename)})"
    recipe, title = _one_line(str(header.recipe.get("recipe", ""))), _one_line(header.architecture)
    if recipe not in ("", title):
        title = f"{recipe} ({title})"
    if repo_id:
        title = repo_id.rpartition("/")[2]
    metrics = {name: float(value) for name, value in header.metrics.items() if isinstance(value, int | float)}
    thresholds = header.metrics.get("familiarity")
    facts = {name: getattr(header, name) for name in ("architecture", "arguments", "metrics", "recipe")}
    body = _template().render(
        header=header,
        title=title,
        load=load,
        dataset=dataset,
        images={split: count for split, count in (images or {}).items() if count},
        parameters=parameters,
        metrics=metrics,
        accuracies=TEST_ACCURACIES,
        tta_note=TTA_NOTE,
        ood=thresholds if isinstance(thresholds, dict) and thresholds.keys() >= _THRESHOLDS else None,
        training=training,
        # Indented, since a string among the facts could close a fence; JSON keeps each string on one line.
        stored=indent(json.dumps(facts, indent=2), "    "),
        analysis=analysis or {},
    )
    body = re.sub(r"\n{3,}", "\n\n", body).strip()
    return f"---\n{_front_matter(header, title, dataset, metrics)}\n---\n\n{body}\n"


def import_hub() -> Any:
    """Returns the module `huggingface_hub`, or raises an ImportError that names the extra."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError('the Hugging Face Hub needs an extra: pip install "cifar-models[hub]"') from error
    return huggingface_hub


def _front_matter(
    header: WeightsHeader, title: str, dataset: str | None, metrics: Mapping[str, float]
) -> str:
    hub = import_hub()
    results = [
        hub.EvalResult(
            task_type="image-classification",
            task_name="Image classification",
            dataset_type=_DATASETS[dataset][0],
            dataset_name=_DATASETS[dataset][1],
            dataset_split="test",
            metric_type="accuracy",
            metric_name=label,
            # Averages of float32 have no more meaningful digits.
            metric_value=round(metrics[metric], 6),
        )
        for metric, label in TEST_ACCURACIES.items()
        if dataset and metric in metrics
    ]
    return hub.ModelCardData(
        # Only the owner of other weights can license them.
        license="mit" if dataset in ("cifar10", "synthetic") else None,
        library_name="cifar-models",
        pipeline_tag="image-classification",
        tags=["pytorch", "safetensors", header.architecture],
        datasets=["uoft-cs/cifar10"] if dataset == "cifar10" else None,
        metrics=["accuracy"] if results else None,
        model_name=title if results else None,
        eval_results=results or None,
    ).to_yaml()


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def literal(value: object) -> Markup:
        # Escapes for Markdown what autoescape would escape for HTML, in a sentence as in a table cell.
        return value if isinstance(value, Markup) else Markup(_MARKUP.sub(r"\\\g<0>", _one_line(str(value))))  # noqa: S704

    compact: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(autoescape=True, finalize=literal, undefined=StrictUndefined, **compact)
    environment.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    environment.filters["thousands"] = "{:,}".format
    return environment.from_string(files(__package__).joinpath("card.md.jinja").read_text(encoding="utf-8"))
