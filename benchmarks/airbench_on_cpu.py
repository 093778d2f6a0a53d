"""Train airbench94 of the package `airbench` on the CPU: its own code and hyperparameters, patched from outside.

airbench is written for one GPU and half precision. What is replaced, and nothing else: `.cuda()` does nothing,
`.half()` gives the number format asked for, CUDA's events are clocks of the processor, and the images come from a file
that is written here. Accuracy and time are printed as one line of JSON.

    python benchmarks/airbench_on_cpu.py --seed 0 --epochs 9.9

Source: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024; package airbench 0.1.8.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_data import open_dataset

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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


def write_images(folder: Path) -> None:
    """Write CIFAR-10 as airbench's loader expects it."""
    dataset = open_dataset()
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        content = {
            "images": torch.from_numpy(np.array(split.images)),
            "labels": torch.from_numpy(np.array(split.labels)),
            "classes": list(dataset.classes),
        }
        torch.save(content, folder / f"{name}.pt")


def train(*, epochs: float, seed: int, number_format: torch.dtype, evaluation: bool = True) -> dict[str, Any]:
    """Train once and return seconds and accuracies on the test set: one view, and airbench's own six views."""
    patch(number_format)
    from airbench import CifarLoader, evaluate, lib_airbench94, utils

    # Its loaders default to the first GPU.
    utils.CifarLoader.__init__.__defaults__ = (*CifarLoader.__init__.__defaults__[:-1], "cpu")
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        (Path(folder) / "cifar10").mkdir()
        write_images(Path(folder) / "cifar10")
        # It reads from a folder of this name where it is.
        os.chdir(folder)
        try:
            hyp = lib_airbench94.hyp
            loader = CifarLoader(
                "cifar10", train=True, batch_size=hyp["opt"]["batch_size"], aug=hyp["aug"], altflip=True
            )
            started = time.perf_counter()
            model = lib_airbench94.train94(loader, epochs=epochs, verbose=False)
            trained = time.perf_counter()
            result = {
                "rival": "airbench94",
                "format": str(number_format).removeprefix("torch."),
                "seed": seed,
                "epochs": epochs,
                "train_seconds": trained - started,
                "images_per_second": epochs * len(loader) * loader.batch_size / (trained - started),
                "threads": torch.get_num_threads(),
            }
            if evaluation:
                test = CifarLoader("cifar10", train=False, batch_size=2000)
                result["test_accuracy"] = evaluate(model, test, tta_level=0)
                tta_started = time.perf_counter()
                result["test_accuracy_tta"] = evaluate(model, test, tta_level=hyp["net"]["tta_level"])
                result["tta_seconds"] = time.perf_counter() - tta_started
            return result
        finally:
            os.chdir(before)


def main() -> None:
    """Train as the arguments say and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=float, default=9.9, help="9.9 are its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=_FORMATS, default="float32")
    parser.add_argument("--no-evaluation", action="store_true", help="only the time of training")
    args = parser.parse_args()
    result = train(
        epochs=args.epochs,
        seed=args.seed,
        number_format=_FORMATS[args.format],
        evaluation=not args.no_evaluation,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
