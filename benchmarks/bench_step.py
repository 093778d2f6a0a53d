"""One training step against the machine's own matrix products, and Lightning against the plainest loop.

    uv run python benchmarks/bench_step.py [--quick] [--recipes fast best] [--parts step convolutions lightning]

`step`: forward pass, backward pass and optimizer of a recipe on images in memory, at the recipe's settings and with one
setting changed at a time: batch size, threads, memory format, number format, micro-batches. `convolutions`: each
convolution of the network alone, forward and backward. `lightning`: `cifar-train fit` against a bare loop of the same
steps. All rivals take turns. A share of products is relative to the best square matrix product in the same number
format, with the same threads, in the same round; only the network's operations are counted.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import harness
import torch
from arithmetic import DTYPES, convolve, count_flops, find_convolutions, product_rate, step_flops, time_work
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from cifar_data import CIFAR10DataModule
from cifar_train import LitClassifier, recipe_path
from cifar_train.runs.hardware import quickest_precision

PARTS = ("step", "convolutions", "lightning")
RATES = ["GFLOP/s", "share of products"]

#: The rows of a table, and their report.
Measured = tuple[harness.Rows, dict[str, Any]]


class Recipe(LightningCLI):
    """Module and data of a recipe, made from its configuration and further arguments, without a run."""

    def __init__(self, name: str, *arguments: str) -> None:
        for package in ("pytorch", "fabric"):
            logging.getLogger(f"lightning.{package}").setLevel(logging.WARNING)
        quiet = ["--trainer.logger=false", "--trainer.enable_checkpointing=false"]
        super().__init__(
            LitClassifier,
            CIFAR10DataModule,
            args=["--config", str(recipe_path(name)), *arguments, *quiet],
            run=False,
            save_config_callback=None,
            auto_configure_optimizers=False,
        )
        self.micro_batch: int | None = self.config.model.micro_batch
        precision = self.config.trainer.precision or quickest_precision("cpu")
        #: Of the factors of convolutions and products.
        self.number_format = "bfloat16" if precision == "bf16-mixed" else "float32"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Accepts the field in which a recipe names itself."""
        parser.add_argument("--recipe")


class BareLoop:
    """The steps of a recipe without Lightning's trainer: nothing is logged, validated or saved.

    Args:
        recipe: Gives the module and its optimizer.
        data: Of the recipe, if the module is to be initialised from it.
        total_steps: Length of the learning rate's schedule.
    """

    def __init__(self, recipe: Recipe, *, data: CIFAR10DataModule | None = None, total_steps: int) -> None:
        self.module: Any = recipe.model.train()
        self.module.log = lambda *_, **__: None
        steps = {"estimated_stepping_batches": total_steps, "global_step": 0}
        self.module.trainer = SimpleNamespace(datamodule=data, **steps)
        self.module.setup("fit")
        made = self.module.configure_optimizers()
        self._optimizer, self._scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]

    def step(self, images: torch.Tensor, labels: torch.Tensor, *, number_format: str) -> None:
        """Makes one step of the optimizer."""
        with autocast(number_format):
            loss = self.module.training_step((images, labels), 0)
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._scheduler.step()


def autocast(number_format: str) -> contextlib.AbstractContextManager[Any]:
    """Returns the context of a number format, float32 or bfloat16."""
    return torch.autocast("cpu", torch.bfloat16, enabled=number_format == "bfloat16")


def train_bare(recipe: Recipe, pace: harness.Pace) -> BareLoop:
    """Trains until `pace` has seen enough batches or all epochs are over, and returns the loop."""
    data, epochs = recipe.datamodule, recipe.config.trainer.max_epochs
    data.setup("fit")
    loader = data.train_dataloader()
    loop = BareLoop(recipe, data=data, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for images, labels in loader:
            loop.step(images, labels, number_format=recipe.number_format)
            if pace.step(len(labels)):
                return loop
    return loop


@dataclass(frozen=True)
class Point:
    """The settings that a step is measured at; without `micro_batch` all cores share each operation."""

    recipe: str
    batch: int
    threads: int
    number_format: str
    micro_batch: int | None = None
    channels_last: bool = True

    def __str__(self) -> str:
        parts = [self.recipe, f"batch {self.batch}"]
        parts += [f"{self.micro_batch} a core"] if self.micro_batch else []
        parts += [f"{self.threads} threads" if self.threads > 1 else "1 thread", self.number_format]
        return ", ".join(parts + ([] if self.channels_last else ["contiguous"]))


def choose_points(base: Point, *, batches: Sequence[int]) -> list[Point]:
    """Returns the base and the points that differ from it in one setting, without repetitions.

    >>> for point in choose_points(Point("fast", 125, 2, "float32"), batches=[250]):
    ...     print(point)
    fast, batch 125, 2 threads, float32
    fast, batch 250, 2 threads, float32
    fast, batch 125, 1 thread, float32
    fast, batch 125, 2 threads, bfloat16
    fast, batch 125, 2 threads, float32, contiguous
    fast, batch 250, 125 a core, 2 threads, float32
    """
    if base.micro_batch is None:
        other_split = replace(base, batch=base.batch * base.threads, micro_batch=base.batch)
    else:
        other_split = replace(base, micro_batch=None)
    other_format = "bfloat16" if base.number_format == "float32" else "float32"
    points = [base, *(replace(base, batch=batch) for batch in batches), replace(base, threads=1)]
    points += [replace(base, number_format=other_format), replace(base, channels_last=False), other_split]
    return list(dict.fromkeys(points))


@dataclass(frozen=True)
class Work:
    """Something to be timed: its operations, the images that it takes, and the settings it runs with."""

    label: str
    run: Callable[[], object]
    flops: float
    images: int
    number_format: str
    threads: int


def step_work(point: Point) -> Work:
    """Returns a training step at a point, on random images."""
    fields = {"micro_batch": point.micro_batch or "null", "channels_last": str(point.channels_last).lower()}
    recipe = Recipe(
        point.recipe, "--model.low_resolution.until=0", *(f"--model.{k}={v}" for k, v in fields.items())
    )
    flops = point.batch * step_flops(recipe.model.net)
    memory = torch.channels_last if point.channels_last else torch.contiguous_format
    images = torch.randn(point.batch, 3, 32, 32).to(memory_format=memory)
    labels = torch.arange(point.batch) % 10
    # Longer than any measurement, or the schedule would end.
    loop = BareLoop(recipe, total_steps=10**6)
    step = lambda: loop.step(images, labels, number_format=point.number_format)  # noqa: E731
    return Work(str(point), step, flops, point.batch, point.number_format, point.threads)


def convolution_works(name: str, *, batch: int | None = None) -> list[Work]:
    """Returns each distinct convolution of a recipe's network, and all of them as often as the network uses them.

    Where each core works on a micro-batch, they run on one core.
    """
    recipe = Recipe(name)
    threads = torch.get_num_threads() if recipe.micro_batch is None else 1
    batch = batch or recipe.micro_batch or recipe.datamodule.batch_size
    settings = (batch, recipe.number_format, threads)
    works, passes, total = [], [], 0
    for layer, count in find_convolutions(recipe.model.net).items():
        flops = count_flops(convolve(layer, batch=batch))
        run = convolve(layer, batch=batch, dtype=DTYPES[recipe.number_format])
        works.append(Work(f"{name}: {layer}", run, flops, *settings))
        passes += [run] * count
        total += flops * count
    together = Work(f"{name}: all of them", lambda: [run() for run in passes], total, *settings)
    return [*works, together]


def with_threads(threads: int, measure: Callable[[], float]) -> Callable[[], float]:
    """Returns `measure`, run with this number of torch's threads."""

    def measured() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return measure()
        finally:
            torch.set_num_threads(before)

    return measured


def measure_works(works: Sequence[Work], *, rounds: int, seconds: float) -> Measured:
    """Measures all works and the matrix products of the same settings; returns rows and report."""
    sides: dict[Any, Callable[[], float]] = {}
    for one in works:
        product = lambda dtype=DTYPES[one.number_format]: product_rate(dtype, seconds=seconds / 3)  # noqa: E731
        sides[one.number_format, one.threads] = with_threads(one.threads, product)
    for one in works:
        timed = lambda run=one.run: time_work(run, seconds=seconds)  # noqa: E731
        sides[one] = with_threads(one.threads, timed)
    found = harness.interleave(sides, rounds=rounds)
    rows, report = [], {}
    for one in works:
        speeds = [one.images / value for value in found[one]]
        rates = [one.flops / value for value in found[one]]
        shares = harness.ratios(rates, found[one.number_format, one.threads])
        gflops = [rate / 1e9 for rate in rates]
        rows.append([one.label, *map(harness.spread, (speeds, gflops)), harness.spread(shares, 2)])
        values = {"images_per_second": speeds, "gflops": gflops, "share_of_products": shares}
        report[one.label] = {name: harness.summarize(values[name]) for name in values}
    return rows, report


def measure_lightning(name: str, *, rounds: int, seconds: float, source: str) -> Measured:
    """Measures a recipe through cifar-train and in the bare loop; returns the row of the table and the report."""
    field = f"--data.source={source}"

    def through_lightning() -> float:
        return float(harness.run_slice(name, field, seconds=seconds).last_json()["images_per_second"])

    def bare() -> float:
        pace = harness.Pace(seconds=seconds, warmup=5)
        train_bare(Recipe(name, field, "--model.low_resolution.until=0"), pace)
        return pace.result()["images_per_second"]

    found = harness.interleave({"cifar-train": through_lightning, "bare loop": bare}, rounds=rounds)
    rows, report = harness.compare(found, "bare loop")
    return [[f"{name}: {label}", *cells] for label, *cells in rows], report


def main() -> None:
    """Runs the parts asked for and prints a table of each."""
    parser = harness.make_parser(__doc__, rounds=7, data=True)
    parser.add_argument("--recipes", nargs="+", default=["fast", "best", "resnet9"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 64, 125, 250, 500, 1000])
    parser.add_argument("--seconds", type=float, default=2, help="of one measurement (default: %(default)s)")
    parser.add_argument("--slice-seconds", type=float, default=15, help="of a training (%(default)s)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.slice_seconds, options.batches = 3, 0.3, 5.0, [64, 250]
    report = harness.start_report("bench_step", ("torch", "lightning", "cifar-models", "cifar-train"))
    threads, timing = torch.get_num_threads(), {"rounds": options.rounds, "seconds": options.seconds}
    print(harness.headline(report | {"threads": threads}))
    for part in options.parts:
        rows, report[part] = [], {}
        for name in options.recipes:
            if part == "lightning":
                timing["seconds"] = options.slice_seconds
                header = ["training", "n", "images/s", "x bare loop"]
                more, report[part][name] = measure_lightning(name, source=options.source, **timing)
            elif part == "convolutions":
                header = ["convolution, forward and backward", "images/s", *RATES]
                more, report[part][name] = measure_works(convolution_works(name), **timing)
            else:
                header = ["step", "images/s", *RATES]
                recipe = Recipe(name)
                base = Point(
                    name, recipe.datamodule.batch_size, threads, recipe.number_format, recipe.micro_batch
                )
                works = [step_work(point) for point in choose_points(base, batches=options.batches)]
                more, report[part][name] = measure_works(works, **timing)
            rows += more
        print("\n" + harness.markdown_table(header, rows), flush=True)
        # After each part, so that an interruption loses one at most.
        harness.write_json(options.out, report)


if __name__ == "__main__":
    main()
