"""Train airbench94 of the package `airbench` on the CPU: its own code and hyperparameters, patched from outside.

airbench is written for one GPU and half precision. What is replaced, and nothing else: `.cuda()` does nothing,
`.half()` and airbench's `torch.half` give the number format asked for, CUDA's events are clocks of the processor, and
the images come from a file that is written here. Accuracy and time are printed as one line of JSON.

    python benchmarks/airbench_on_cpu.py --seed 0 --epochs 9.9

Formats: `bfloat16` holds weights and images in it, as airbench does in half precision; `bf16-mixed` holds them in
float32 and multiplies in bfloat16 (autocast); `quickest` is bfloat16 where the processor has instructions for it, else
float32. With `--steps` or `--seconds` only the pace of a slice of the training is measured.

Source: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024; package airbench 0.1.8.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pace import Pace

from cifar_data import open_dataset

# The number format of weights and images, by name.
_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "bf16-mixed": torch.float32}


class _EnoughError(Exception):
    """Ends a training whose pace is known."""


class _Event:
    """Stands for `torch.cuda.Event`: the processor is never behind, so the time is now."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, end: "_Event") -> float:
        return 1e3 * (end.time - self.time)


def patch(number_format: torch.dtype) -> None:
    """Make torch's CUDA calls, as far as airbench makes them, work without a GPU."""
    torch.nn.Module.cuda = lambda self, *_: self  # type: ignore[assignment, method-assign]
    torch.nn.Module.half = lambda self: self.to(number_format)  # type: ignore[assignment, method-assign]
    torch.Tensor.half = lambda self: self.to(number_format)  # type: ignore[assignment, method-assign]
    torch.cuda.Event = _Event  # type: ignore[misc, assignment]
    torch.cuda.synchronize = lambda *_: None  # type: ignore[assignment]


class _Torch(ModuleType):
    """torch as airbench sees it, with another `half`.

    Its Lookahead averages the weights that are `torch.half` or `torch.float`, and would leave out those in bfloat16.
    """

    def __init__(self, number_format: torch.dtype) -> None:
        super().__init__("torch")
        self.half = number_format

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def write_images(folder: Path, *, source: str = "auto") -> None:
    """Write CIFAR-10, or another source of `cifar_data`, as airbench's loader expects it."""
    dataset = open_dataset(source=source)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        content = {
            "images": torch.from_numpy(np.array(split.images)),
            "labels": torch.from_numpy(np.array(split.labels)),
            "classes": list(dataset.classes),
        }
        torch.save(content, folder / f"{name}.pt")


def quickest_format() -> str:
    """Return the number format that stands for airbench's half precision on this machine."""
    from cifar_train.runs.hardware import quickest_precision

    return "bfloat16" if quickest_precision("cpu") == "bf16-mixed" else "float32"


def train(
    *, epochs: float, seed: int, number_format: str, source: str = "auto", pace: Pace | None = None
) -> dict[str, Any]:
    """Train once, and measure what it reaches or, given a pace, how quick it is.

    Returns:
        Without a pace seconds and accuracies on the test set: one view, and airbench's own six views. With it, what
        was counted until that was enough.
    """
    patch(_FORMATS[number_format])
    from airbench import CifarLoader, evaluate, lib_airbench94, utils

    utils.torch = _Torch(_FORMATS[number_format])
    # Its loaders default to the first GPU.
    utils.CifarLoader.__init__.__defaults__ = (*CifarLoader.__init__.__defaults__[:-1], "cpu")
    torch.manual_seed(seed)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=number_format == "bf16-mixed")
    result: dict[str, Any] = {
        "rival": "airbench94",
        "format": number_format,
        "seed": seed,
        "epochs": epochs,
        "threads": torch.get_num_threads(),
    }
    with _folder_of_images(source):
        hyp = lib_airbench94.hyp
        batch_size = hyp["opt"]["batch_size"]
        loader = CifarLoader("cifar10", train=True, batch_size=batch_size, aug=hyp["aug"], altflip=True)
        if pace is not None:
            _count_steps(pace, batch_size)
        started = time.perf_counter()
        try:
            with autocast:
                model = lib_airbench94.train94(loader, epochs=epochs, verbose=False)
        except _EnoughError:
            pass
        if pace is not None:
            return {**result, **pace.result()}
        result["train_seconds"] = time.perf_counter() - started
        # As many as it takes: it rounds the steps of a fraction of an epoch up.
        images = -(-len(loader) * epochs // 1) * batch_size
        result["images_per_second"] = images / result["train_seconds"]
        # In float32, as ours is judged; of weights in bfloat16 in their own format, as airbench does.
        test = CifarLoader("cifar10", train=False, batch_size=2000)
        result["test_accuracy"] = evaluate(model, test, tta_level=0)
        tta_started = time.perf_counter()
        result["test_accuracy_tta"] = evaluate(model, test, tta_level=hyp["net"]["tta_level"])
        result["tta_seconds"] = time.perf_counter() - tta_started
        return result


@contextmanager
def _folder_of_images(source: str) -> Iterator[None]:
    """Be in a folder with `cifar10/`, which airbench reads from where it is."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cifar10").mkdir()
        write_images(Path(folder) / "cifar10", source=source)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _count_steps(pace: Pace, batch_size: int) -> None:
    """Tell `pace` of each step of SGD, and end the training when that has seen enough."""
    step = torch.optim.SGD.step

    def counted(self: torch.optim.SGD, *args: Any, **kwargs: Any) -> Any:
        result = step(self, *args, **kwargs)
        if pace.step(batch_size):
            raise _EnoughError
        return result

    torch.optim.SGD.step = counted  # type: ignore[assignment, method-assign]


def main() -> None:
    """Train as the arguments say and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=float, default=9.9, help="9.9 are its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=[*_FORMATS, "quickest"], default="quickest")
    parser.add_argument(
        "--source", default="auto", help="of the images: auto, synthetic (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, help="measure the pace of so many steps only")
    parser.add_argument("--seconds", type=float, help="measure the pace of so many seconds only")
    parser.add_argument("--warmup", type=int, default=3, help="steps before a slice (default: %(default)s)")
    options = parser.parse_args()
    pace = None
    if options.steps is not None or options.seconds is not None:
        pace = Pace(warmup=options.warmup, steps=options.steps, seconds=options.seconds)
    number_format = quickest_format() if options.format == "quickest" else options.format
    result = train(
        epochs=options.epochs,
        seed=options.seed,
        number_format=number_format,
        source=options.source,
        pace=pace,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
