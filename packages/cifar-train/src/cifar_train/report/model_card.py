"""The model card of a run: facts from its weights file and run summary, in the template of cifar-models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import cifar_models
from cifar_data import CANONICAL_FINGERPRINT
from cifar_models import WeightsHeader
from cifar_train.formatting import count_noun, format_duration, percent
from cifar_train.runs.summary import Summary


def model_card(
    header: WeightsHeader, summary: Summary | None = None, *, filename: str = "model.safetensors"
) -> str:
    """Returns the card in Markdown, with the front matter that the Hugging Face Hub reads.

    ``summary`` has an analysis of this weights file, and ``filename`` is its name beside the card.
    """
    analysis = (summary.analysis if summary else None) or {}
    # The run's own metrics come last: they were measured before the weights were stored, perhaps in float16.
    measured = {**(summary.metrics if summary else {}), **analysis}
    numbers = {name: value for name, value in measured.items() if isinstance(value, int | float)}
    return cifar_models.model_card(
        replace(header, metrics={**numbers, **header.metrics}),
        filename=filename,
        dataset=_dataset(header, summary),
        images={split: summary.data.get(split, 0) for split in ("train", "val", "test")} if summary else None,
        parameters=summary.parameters if summary else None,
        training=[*setting_rows(header.recipe, summary), *(_machine_rows(summary) if summary else ())],
        analysis=analysis,
    )


def _dataset(header: WeightsHeader, summary: Summary | None) -> Literal["cifar10", "synthetic", "own"]:
    if header.metrics.get("data_fingerprint") == CANONICAL_FINGERPRINT:
        return "cifar10"
    sources = (section(header.recipe, "data").get("source"), summary.data.get("source") if summary else None)
    return "synthetic" if "synthetic" in sources else "own"


def setting_rows(recipe: Mapping[str, Any], summary: Summary | None) -> Iterator[tuple[str, str]]:
    """Yields label and value of each setting that is known of a training."""
    data, model, trainer = (section(recipe, name) for name in ("data", "model", "trainer"))
    if "recipe" in recipe:
        yield "recipe", str(recipe["recipe"])
    if "seed_everything" in recipe:
        yield "seed", str(recipe["seed_everything"])
    if (epochs := summary.epochs if summary else trainer.get("max_epochs")) is not None:
        yield "epochs", str(epochs)
    if summary and summary.steps is not None:
        yield "optimizer steps", f"{summary.steps:,}"
    if "batch_size" in data:
        batch = count_noun(data["batch_size"], "image")
        if (parts := trainer.get("accumulate_grad_batches") or 1) > 1:
            batch = f"{parts} times {batch}"
        yield "batch", f"{batch}, in micro-batches of {size}" if (size := model.get("micro_batch")) else batch
    if "optimizer" in model:
        # Adam is the default of LitClassifier.
        yield "optimizer", _optimizer(model["optimizer"] or {"class_path": "Adam"})
    if "lr" in model:
        yield "peak learning rate", f"{model['lr']:g}"
    if schedule := section(model, "schedule"):
        yield "schedule", _schedule(schedule)
    if model.get("label_smoothing"):
        yield "label smoothing", f"{model['label_smoothing']:g}"
    if trainer.get("gradient_clip_val"):
        yield "gradient clipping", f"{trainer['gradient_clip_val']:g}"
    if trainer.get("precision"):
        yield "precision", str(trainer["precision"])
    if (low := section(model, "low_resolution")).get("until"):
        share = percent(low["until"], digits=0)
        yield "progressive resizing", f"{low['size']}x{low['size']} pixels in the first {share} of the steps"
    if augmentation := section(data, "augmentation"):
        yield "augmentation", ", ".join(_augmentation(augmentation)) or "none"


def _optimizer(optimizer: Mapping[str, Any]) -> str:
    name = str(optimizer["class_path"]).rpartition(".")[2]
    # The schedule sets the learning rate.
    settings = {**(optimizer.get("init_args") or {}), "lr": None}
    listed = ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
    return f"{name} ({listed})" if listed else name


def _schedule(schedule: Mapping[str, Any]) -> str:
    shape = {"cos": "cosine"}.get(schedule["anneal"], schedule["anneal"])
    fall = f"down to 1/{schedule['final_div']:g} of it at the end; {shape}"
    if not schedule["peak"]:
        return f"from the peak {fall}"
    share = percent(schedule["peak"], digits=0)
    return f"from 1/{schedule['div']:g} of the peak up to it in the first {share} of the steps, then {fall}"


def _augmentation(augmentation: Mapping[str, Any]) -> Iterator[str]:
    if padding := augmentation.get("padding"):
        yield f"shifts of up to {count_noun(padding, 'pixel')} ({augmentation.get('padding_mode')} padding)"
    if (flip := augmentation.get("flip", "none")) != "none":
        yield f"horizontal flips ({flip})"
    for name in ("brightness", "contrast"):
        if augmentation.get(name):
            yield f"{name} by up to {percent(augmentation[name], digits=0)}"
    if side := augmentation.get("cutout"):
        yield f"CutOut {side}x{side}"


def _machine_rows(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.train_seconds is not None and summary.images_per_second is not None:
        speed = f"{summary.images_per_second:,.0f} images/s"
        yield "training time", f"{format_duration(summary.train_seconds)}, {speed}"
    if summary.wall_seconds is not None:
        yield "wall time, from start to test result", format_duration(summary.wall_seconds)
    environment = summary.environment
    if environment:
        machine = {**environment, "cores": count_noun(environment["cores"], "core")}
        parts = (machine.get(name) for name in ("processor", "cores", "capability", "platform"))
        yield "machine", ", ".join(filter(None, parts))
        versions = {"Python": environment["python"], **environment["versions"]}
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())


def section(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns a section of a configuration; an empty one if it is not set."""
    found = mapping.get(name)
    return found if isinstance(found, dict) else {}
