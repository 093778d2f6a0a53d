"""The model card: what a weights file is, what it reached, where its limits lie; as the Hugging Face Hub reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cifar_models import WeightsHeader
from cifar_models.atomic import write_at_once
from cifar_train.report import card_sections as sections
from cifar_train.report.card_facts import CardFacts
from cifar_train.runs.summary import Summary


def model_card(
    header: WeightsHeader, summary: Summary | None = None, *, filename: str = "model.safetensors"
) -> str:
    """The card as Markdown, with the front matter that the Hub reads.

    It says what header and summary say, and leaves out what they do not.

    Args:
        header: Of the weights file; where it and the summary give the same metric, its own is shown.
        summary: Of the run that the weights are of, its analysis made of this very file.
        filename: Name of the weights file beside the card.

    Raises:
        ValueError: If the header's `familiarity` is not what cifar-train writes.

    Source:
        M. Mitchell et al., "Model Cards for Model Reporting" (arXiv:1810.03993); the front matter's fields:
        huggingface.co/docs/hub/model-cards.

    >>> from cifar_models import CIFAR10
    >>> header = WeightsHeader("resnet9", {}, CIFAR10, {"recipe": "era"}, {"test_accuracy": 0.9}, "float16", 1)
    >>> print(model_card(header).split("## ")[2].strip())
    Results
    <BLANKLINE>
    | measure | value |
    |---|---|
    | test accuracy, one view | 90.00 % |
    <BLANKLINE>
    One view is the image as it is; with more views their logits are averaged.
    """
    facts = CardFacts(header, summary)
    front = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True)
    body = [
        sections.describe_model(facts),
        sections.describe_use(filename),
        sections.describe_results(facts),
        sections.describe_classes(facts),
        sections.describe_confidence(facts),
        sections.describe_training(facts),
        sections.describe_data(facts),
        sections.describe_limits(facts),
        sections.describe_intended_use(facts),
        sections.describe_licence(facts),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(filter(None, body)) + "\n"


def write_model_card(path: Path, card: str) -> None:
    """Write a card in one step."""
    write_at_once(path, card.encode())


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """What the Hub reads: licence, library, task, data and, in `model-index`, the accuracies in [0, 1]."""
    # Whose weights of own pictures are, and on what terms, is not ours to say.
    front: dict[str, Any] = {} if facts.kind == "own" else {"license": "mit"}
    front |= {
        "library_name": "cifar-models",
        "pipeline_tag": "image-classification",
        "tags": ["pytorch", "safetensors", facts.header.architecture],
    }
    if facts.kind == "cifar10":
        front["datasets"] = ["uoft-cs/cifar10"]
    names = {
        "test_accuracy": "accuracy, one view",
        "test_accuracy_flip": "accuracy, image and mirror image",
        "test_accuracy_tta": "accuracy, six views",
    }
    accuracies = [
        # As float32 it has digits behind the seventh that mean nothing.
        {"type": "accuracy", "name": label, "value": round(facts.metrics[name], 6)}
        for name, label in names.items()
        if name in facts.metrics
    ]
    if accuracies:
        front["metrics"] = ["accuracy"]
        task = {"type": "image-classification", "name": "Image classification"}
        result = {"task": task, "dataset": _DATASETS[facts.kind], "metrics": accuracies}
        front["model-index"] = [{"name": facts.title, "results": [result]}]
    return front


_DATASETS = {
    "cifar10": {"type": "uoft-cs/cifar10", "name": "CIFAR-10", "split": "test"},
    "synthetic": {"type": "synthetic", "name": "drawn shapes", "split": "test"},
    "own": {"type": "imagefolder", "name": "own class folders", "split": "test"},
}
