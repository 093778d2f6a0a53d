"""How a model was trained, as rows of a model card: label and value, Markdown. What is not known has no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cifar_train.formatting import count_noun, format_duration, percent
from cifar_train.report.markdown import plain
from cifar_train.runs.summary import Summary

Row = tuple[str, str]


def training_rows(recipe: Mapping[str, Any], summary: Summary | None) -> list[Row]:
    """Recipe, seed, steps, optimizer, schedule, augmentation, number format, times and machine.

    Args:
        recipe: Of the weights file's header, as :func:`cifar_train.runs.checkpoint.run_recipe` makes it; may be empty.
        summary: Of the run, if there is one.

    >>> training_rows({"recipe": "fast", "seed_everything": 3, "trainer": {"max_epochs": 7}}, None)
    [('recipe', 'fast'), ('seed', '3'), ('epochs', '7')]
    """
    rows = [*_of_run(recipe, summary), *_of_steps(recipe), *_of_images(recipe)]
    if summary is not None:
        rows += _of_machine(summary)
    return rows


def _of_run(recipe: Mapping[str, Any], summary: Summary | None) -> Iterator[Row]:
    if "recipe" in recipe:
        yield "recipe", plain(str(recipe["recipe"]))
    if "seed_everything" in recipe:
        yield "seed", str(recipe["seed_everything"])
    if summary is not None:
        yield "epochs", str(summary.epochs)
        if summary.steps is not None:
            yield "optimizer steps", f"{summary.steps:,}"
    elif (epochs := _section(recipe, "trainer").get("max_epochs")) is not None:
        yield "epochs", str(epochs)


def _of_steps(recipe: Mapping[str, Any]) -> Iterator[Row]:
    data, model, trainer = (_section(recipe, name) for name in ("data", "model", "trainer"))
    if "batch_size" in data:
        batch = count_noun(data["batch_size"], "image")
        if (parts := trainer.get("accumulate_grad_batches") or 1) > 1:
            batch = f"{parts} times {batch}"
        if model.get("micro_batch"):
            batch += f", in micro-batches of {model['micro_batch']}"
        yield "a step", batch
    if "optimizer" in model:
        yield "optimizer", _optimizer(model["optimizer"])
    if "lr" in model:
        yield "peak learning rate", f"{model['lr']:g}"
    if schedule := _section(model, "schedule"):
        yield "schedule", _schedule(schedule)
    if model.get("label_smoothing"):
        yield "label smoothing", f"{model['label_smoothing']:g}"
    if trainer.get("gradient_clip_val"):
        yield "gradient clipping", f"{trainer['gradient_clip_val']:g}"
    if trainer.get("precision"):
        yield "precision", plain(str(trainer["precision"]))


def _optimizer(optimizer: Mapping[str, Any] | None) -> str:
    if optimizer is None:
        # The default of LitClassifier.
        return "Adam"
    name = plain(str(optimizer["class_path"]).rpartition(".")[2])
    # Its own learning rate gives way to the schedule's.
    settings = {key: value for key, value in (optimizer.get("init_args") or {}).items() if key != "lr"}
    told = ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
    return f"{name} ({plain(told)})" if told else name


def _schedule(schedule: Mapping[str, Any]) -> str:
    shape = {"cos": "cosine"}.get(schedule["anneal"], plain(str(schedule["anneal"])))
    fall = f"down to 1/{schedule['final_div']:g} of it at the end"
    if schedule["peak"]:
        rise = f"from 1/{schedule['div']:g} of the peak up to it in the first {percent(schedule['peak'], digits=0)}"
        return f"{rise} of the steps, then {fall}; {shape}"
    return f"from the peak {fall}; {shape}"


def _of_images(recipe: Mapping[str, Any]) -> Iterator[Row]:
    low = _section(_section(recipe, "model"), "low_resolution")
    if low.get("until"):
        share = percent(low["until"], digits=0)
        yield (
            "training resolution",
            f"{low['size']}x{low['size']} pixels in the first {share} of the steps, then full",
        )
    if augmentation := _section(_section(recipe, "data"), "augmentation"):
        parts = []
        if augmentation.get("padding"):
            border = plain(str(augmentation.get("padding_mode", "")))
            parts.append(f"shifts of up to {count_noun(augmentation['padding'], 'pixel')} ({border} border)")
        if augmentation.get("flip", "none") != "none":
            parts.append(f"left-right flips ({plain(str(augmentation['flip']))})")
        parts.extend(
            f"{name} by up to {percent(augmentation[name], digits=0)}"
            for name in ("brightness", "contrast")
            if augmentation.get(name)
        )
        if augmentation.get("cutout"):
            parts.append(f"CutOut {augmentation['cutout']}x{augmentation['cutout']}")
        yield "augmentation", ", ".join(parts) or "none"


def _of_machine(summary: Summary) -> Iterator[Row]:
    if summary.train_seconds is not None and summary.images_per_second is not None:
        yield (
            "training time",
            f"{format_duration(summary.train_seconds)}, {summary.images_per_second:,.0f} images/s",
        )
    if summary.wall_seconds is not None:
        yield "wall time, from the command to the test result", format_duration(summary.wall_seconds)
    environment = summary.environment
    machine = [
        str(environment[key]) for key in ("processor", "capability", "platform") if environment.get(key)
    ]
    if environment.get("cores"):
        machine.insert(1, count_noun(environment["cores"], "core"))
    if machine:
        yield "machine", plain(", ".join(machine))
    versions = {"Python": environment.get("python"), **_section(environment, "versions")}
    if told := ", ".join(f"{name} {version}" for name, version in versions.items() if version):
        yield "versions", plain(told)


def _section(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = mapping.get(name)
    return found if isinstance(found, Mapping) else {}
