"""Trains airbench94 of the package `airbench` on the CPU: its own code and hyperparameters, patched from outside.

    uv run --group bench python benchmarks/airbench_on_cpu.py --seed 0

airbench is written for one GPU and half precision. Only this is replaced: `.cuda()` does nothing, `.half()` and
airbench's `torch.half` give another number format, CUDA's events read the processor's clock, and the images come from
`cifar_data`. The last line of the output is the result as JSON, with `--steps` or `--seconds` the pace of a slice.

Formats: `bfloat16` holds weights and images in it, as airbench does in half precision; `bf16-mixed` holds them in
float32 and multiplies in bfloat16; `quickest` is bfloat16 where the processor has instructions for it, else float32.

Source: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024; package airbench 0.1.8.
"""

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import harness
import numpy as np
import torch

from cifar_data import open_dataset
from cifar_train.runs.hardware import quickest_precision

# The number format of weights and images.
_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "bf16-mixed": torch.float32}


class _EnoughError(Exception):
    """Ends a training whose pace is known."""


class _Event:
    """Stands for `torch.cuda.Event`: a processor has no queue, so the time is now."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, end: "_Event") -> float:
        return 1e3 * (end.time - self.time)


def patch(number_format: torch.dtype) -> None:
    """Makes torch's CUDA calls that airbench needs work without a GPU."""
    anything: Any = torch
    anything.nn.Module.cuda = lambda self, *_: self
    anything.nn.Module.half = anything.Tensor.half = lambda self: self.to(number_format)
    anything.cuda.Event = _Event
    anything.cuda.synchronize = lambda *_: None


def write_images(folder: Path, *, source: str) -> None:
    """Writes the images where airbench's loader, started in `folder`, finds them."""
    dataset = open_dataset(source=source)
    (folder / "cifar10").mkdir()
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        arrays = {"images": split.images, "labels": split.labels}
        content = {key: torch.from_numpy(np.array(values)) for key, values in arrays.items()}
        torch.save({**content, "classes": list(dataset.classes)}, folder / "cifar10" / f"{name}.pt")


def count_steps(pace: harness.Pace, batch_size: int) -> None:
    """Ends the training once `pace` has seen enough steps of SGD."""
    sgd: Any = torch.optim.SGD
    step = sgd.step

    def counted(self: torch.optim.SGD, *args: Any, **kwargs: Any) -> Any:
        result = step(self, *args, **kwargs)
        if pace.step(batch_size):
            raise _EnoughError
        return result

    sgd.step = counted


def train(*, epochs: float, number_format: str, pace: harness.Pace | None) -> dict[str, Any]:
    """Trains once in the current folder; returns seconds and test accuracies, or what `pace` counted."""
    patch(_FORMATS[number_format])
    from airbench import CifarLoader, evaluate, lib_airbench94, utils

    # Its Lookahead averages the weights that are `torch.half` or `torch.float`, and would leave out bfloat16.
    utils.torch = ModuleType("torch")
    utils.torch.__dict__.update({**vars(torch), "half": _FORMATS[number_format]})
    # Its loaders default to the first GPU.
    utils.CifarLoader.__init__.__defaults__ = (*CifarLoader.__init__.__defaults__[:-1], "cpu")
    hyp = lib_airbench94.hyp
    batch_size = hyp["opt"]["batch_size"]
    loader = CifarLoader("cifar10", train=True, batch_size=batch_size, aug=hyp["aug"], altflip=True)
    if pace is not None:
        count_steps(pace, batch_size)
    started = time.perf_counter()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=number_format == "bf16-mixed")
    with contextlib.suppress(_EnoughError), autocast:
        model = lib_airbench94.train94(loader, epochs=epochs, verbose=False)
    if pace is not None:
        return pace.result()
    seconds = time.perf_counter() - started
    # airbench rounds the steps of a fraction of an epoch up.
    images = -(-len(loader) * epochs // 1) * batch_size
    result = {"train_seconds": seconds, "images_per_second": images / seconds}
    # Outside of autocast, so in the number format of the weights.
    test = CifarLoader("cifar10", train=False, batch_size=2000)
    result["test_accuracy"] = evaluate(model, test, tta_level=0)
    result["test_accuracy_tta"] = evaluate(model, test, tta_level=hyp["net"]["tta_level"])
    return result


def main() -> None:
    """Trains as the arguments say and prints the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=float, default=9.9, help="(default: %(default)s, airbench's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=[*_FORMATS, "quickest"], default="quickest")
    parser.add_argument("--source", default="auto", help="data source (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="measure the pace of this many steps")
    parser.add_argument("--seconds", type=float, help="measure the pace over this many seconds")
    parser.add_argument("--warmup", type=int, default=3, help="steps before a slice (default: %(default)s)")
    options = parser.parse_args()
    slice_only = options.steps is not None or options.seconds is not None
    limits = {"warmup": options.warmup, "steps": options.steps, "seconds": options.seconds}
    if (number_format := options.format) == "quickest":
        number_format = "bfloat16" if quickest_precision("cpu") == "bf16-mixed" else "float32"
    torch.manual_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), source=options.source)
        with contextlib.chdir(folder):
            pace = harness.Pace(**limits) if slice_only else None
            result = train(epochs=options.epochs, number_format=number_format, pace=pace)
    about = {"rival": "airbench94", "format": number_format, "seed": options.seed, "epochs": options.epochs}
    print(json.dumps({**about, "threads": torch.get_num_threads(), **result}))


if __name__ == "__main__":
    main()
