"""One step of training: images per second, and the share of what the machine's matrix products reach.

    uv run python benchmarks/bench_step.py [--quick] [--recipes fast,best,era] [--parts step,convolutions,lightning]

`step` is forward pass, backward pass and optimizer of a recipe on images in memory, without a loader: at the recipe's
own settings, and with one of them changed at a time: batch size, threads, memory format, number format, micro-batches
side by side, `torch.compile`. `convolutions` are those of the network, each alone, forward and backward. `lightning`
is a recipe's training through cifar-train's trainer against the plainest loop of the same steps. All that is compared
takes turns; a share is of the best square matrix product in the same format, with the same threads, in the same round.
Operations are counted by torch, of the network alone: the optimizer's and the norms' count as time only.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from arithmetic import DTYPES, convolve, count_flops, find_convolutions, product_rate, step_flops, time_work
from lightning_slice import fit_slice
from machine import headline, start_report, write_json
from pace import Pace
from recipe_parts import Recipe, make_net, read_recipe, train_bare
from rounds import interleave, markdown_table, ratios, spread, summarize
from step_points import Point, choose_points, has_compiler, make_step

from cifar_train import list_recipes

Rows = list[list[str]]


def with_threads(threads: int, measure: Callable[[], float]) -> Callable[[], float]:
    """Return `measure` as it is with so many threads of torch."""

    def measured() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return measure()
        finally:
            torch.set_num_threads(before)

    return measured


def product_sides(kinds: Sequence[tuple[str, int]], *, seconds: float) -> dict[Any, Callable[[], float]]:
    """Return what measures the rate of matrix products in each number format with so many threads."""
    return {
        (name, threads): with_threads(threads, lambda name=name: product_rate(DTYPES[name], seconds=seconds))
        for name, threads in dict.fromkeys(kinds)
    }


def measure_steps(points: Sequence[Point], *, rounds: int, seconds: float) -> tuple[Rows, dict[str, Any]]:
    """Measure all points in rounds; return the rows of the table and the report."""
    flops = {name: step_flops(make_net(read_recipe(name))) for name in {point.recipe for point in points}}
    kinds = [(point.format, point.threads) for point in points]
    sides: dict[Any, Callable[[], float]] = product_sides(kinds, seconds=seconds / 3)
    for point in points:
        step = make_step(point)
        sides[point] = with_threads(point.threads, lambda step=step: time_work(step, seconds=seconds))
    found = interleave(sides, rounds=rounds)
    rows, report = [], []
    for point in points:
        speeds = [point.batch / value for value in found[point]]
        rate = [flops[point.recipe] * speed for speed in speeds]
        shares = ratios(rate, found[point.format, point.threads])
        rows.append([str(point), spread(speeds), spread([r / 1e9 for r in rate]), spread(shares, 2)])
        report.append(
            {
                **vars(point),
                "flops_per_image": flops[point.recipe],
                "images_per_second": summarize(speeds),
                "share_of_products": summarize(shares),
            }
        )
    return rows, {"points": report, "products_gflops": _in_gflops(found, kinds)}


def measure_convolutions(recipe: Recipe, *, rounds: int, seconds: float) -> tuple[Rows, dict[str, Any]]:
    """Measure each convolution of a recipe's network alone; return the rows of the table and the report.

    The last row is all of them together, each as often as the network uses it. Where each core works on a micro-batch
    of its own, both sides are those of one core.
    """
    layers = find_convolutions(make_net(recipe))
    name = recipe.number_format
    threads = torch.get_num_threads() if recipe.micro_batch is None else 1
    batch = recipe.micro_batch or recipe.batch_size
    sides: dict[Any, Callable[[], float]] = product_sides([(name, threads)], seconds=seconds)
    flops = {}
    for layer in layers:
        flops[layer] = count_flops(convolve(layer, batch=batch))
        work = convolve(layer, batch=batch, dtype=DTYPES[name])
        sides[layer] = with_threads(threads, lambda work=work: time_work(work, seconds=seconds))
    found = interleave(sides, rounds=rounds)
    products = found[name, threads]
    rates = {str(layer): [flops[layer] / value for value in found[layer]] for layer in layers}
    total = sum(flops[layer] * count for layer, count in layers.items())
    rates["all of them"] = [
        total / sum(found[layer][number] * count for layer, count in layers.items())
        for number in range(rounds)
    ]
    rows, report = [], {}
    for label, rate in rates.items():
        shares = ratios(rate, products)
        rows.append([f"{recipe.name}: {label}", spread([r / 1e9 for r in rate]), spread(shares, 2)])
        report[label] = {
            "gflops": summarize([r / 1e9 for r in rate]),
            "share_of_products": summarize(shares),
        }
    settings = {"batch": batch, "threads": threads, "format": name}
    return rows, {**settings, "layers": report, "products_gflops": _in_gflops(found, [(name, threads)])}


def measure_lightning(
    recipe: Recipe, *, rounds: int, seconds: float, source: str = "auto"
) -> tuple[Rows, dict[str, Any]]:
    """Measure a recipe through Lightning and in a bare loop; return the row of the table and the report."""

    def through_lightning() -> float:
        pace = Pace(seconds=seconds)
        arguments = ["--recipe", recipe.name, "--data.source", source]
        fit_slice(arguments, pace)
        return pace.images_per_second

    def bare() -> float:
        pace = Pace(seconds=seconds)
        train_bare(recipe, pace, source=source)
        return pace.images_per_second

    found = interleave({"lightning": through_lightning, "bare": bare}, rounds=rounds)
    shares = ratios(found["lightning"], found["bare"])
    row = [recipe.name, *(spread(found[name]) for name in ("lightning", "bare")), spread(shares, 3)]
    report = {name: summarize(values) for name, values in found.items()}
    return [row], {**report, "ratio": summarize(shares), "left_out_of_the_bare_loop": recipe.left_out}


def _in_gflops(found: dict[Any, list[float]], kinds: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {
        f"{name}, {threads} threads": summarize([rate / 1e9 for rate in found[name, threads]])
        for name, threads in dict.fromkeys(kinds)
    }


def main() -> None:
    """Run the benchmark as the arguments say and print its tables."""
    known = [name for name in ("fast", "best", "resnet9", "era") if name in list_recipes()]
    # The last two are the same network.
    usual = [name for name in known if name != "era" or "resnet9" not in known]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=usual)
    parser.add_argument(
        "--parts", type=lambda text: text.split(","), default=["step", "convolutions", "lightning"]
    )
    parser.add_argument(
        "--batches",
        type=lambda text: [int(batch) for batch in text.split(",")],
        default=[32, 64, 125, 250, 500, 1000],
    )
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="of one of them (default: %(default)s)")
    parser.add_argument(
        "--slice-seconds", type=float, default=15, help="of a slice through Lightning (default: %(default)s)"
    )
    parser.add_argument("--source", default="auto", help="of the images of part lightning")
    parser.add_argument(
        "--quick", action="store_true", help="3 short rounds, 2 batch sizes, nothing compiled"
    )
    parser.add_argument("--out", type=Path, help="write the measurements here, as JSON")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.slice_seconds = 3, 0.3, 5.0
        options.batches = [64, 250]
    report = start_report("bench_step", ("torch", "lightning", "numpy", "cifar-models", "cifar-train"))
    report |= {"threads": torch.get_num_threads(), "rounds": options.rounds}
    print(headline(report))
    timing = {"rounds": options.rounds, "seconds": options.seconds}
    recipes = [read_recipe(name) for name in options.recipes]
    for part in options.parts:
        if part == "step":
            compiler = has_compiler() and not options.quick
            if not compiler:
                print("\ncompiled: skipped, " + ("--quick" if options.quick else "there is no C++ compiler"))
            points = []
            for recipe in recipes:
                base = Point(
                    recipe.name,
                    recipe.batch_size,
                    torch.get_num_threads(),
                    recipe.number_format,
                    recipe.micro_batch,
                )
                points += choose_points(base, batches=options.batches, compiler=compiler)
            rows, report[part] = measure_steps(points, **timing)
            header = ["step", "images/s", "GFLOP/s", "share of products"]
        elif part == "convolutions":
            rows, report[part] = [], {}
            for recipe in recipes:
                more, report[part][recipe.name] = measure_convolutions(recipe, **timing)
                rows += more
            header = ["convolution, forward and backward", "GFLOP/s", "share of products"]
        elif part == "lightning":
            rows, report[part] = [], {}
            for recipe in recipes:
                more, report[part][recipe.name] = measure_lightning(
                    recipe, rounds=options.rounds, seconds=options.slice_seconds, source=options.source
                )
                rows += more
                if recipe.left_out:
                    print(f"\n{recipe.name}: the bare loop leaves out {', '.join(recipe.left_out)}")
            header = ["recipe", "Lightning, images/s", "bare loop, images/s", "ratio"]
        else:
            parser.error(f"--parts has {part!r}; the parts are step, convolutions and lightning")
        print("\n" + markdown_table(header, rows), flush=True)
        if options.out:
            # After each part, so that an interruption loses one at most.
            write_json(options.out, report)


if __name__ == "__main__":
    main()
