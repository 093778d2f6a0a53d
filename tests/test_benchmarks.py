"""The benchmarks measure what they say: statistics, tables, resuming, arithmetic; and each runs, on drawn images."""

import doctest
import importlib
import importlib.util
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = (
    "arithmetic",
    "bench_eval",
    "bench_scaling",
    "bench_start",
    "bench_train",
    "machine",
    "pace",
    "processes",
    "recipe_parts",
    "rounds",
    "step_points",
)


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    # As it is for a script of that folder.
    monkeypatch.syspath_prepend(str(FOLDER))


def load(name):
    return importlib.import_module(name)


def run(script, *arguments, **environment):
    """The finished process of a benchmark, as a user starts it."""
    processes = load("processes")
    return processes.run_process(processes.python(script, *map(str, arguments)), environment=environment)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_documentation_are_true(name):
    result = doctest.testmod(load(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


# Statistics, tables


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=20))
def test_a_spread_holds_median_lowest_and_highest(values):
    rounds = load("rounds")
    found = rounds.summarize(values)
    assert found["lowest"] == min(values)
    assert found["highest"] == max(values)
    assert found["median"] == pytest.approx(np.median(values))
    assert rounds.spread(values, 3).startswith(f"{np.median(values):,.3f}")


def test_mean_and_deviation_are_numpys():
    values = [93.1, 94.2, 94.0]
    text = load("rounds").mean_and_deviation(values)
    assert text == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


@given(names=st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=5), rounds=st.integers(1, 6))
def test_interleaved_rivals_take_turns_and_turns_at_going_first(names, rounds):
    order = []
    found = load("rounds").interleave({n: lambda n=n: order.append(n) for n in names}, rounds=rounds)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(names, rounds)
    in_rounds = [order[i * len(names) : (i + 1) * len(names)] for i in range(rounds)]
    assert in_rounds == [names if i % 2 == 0 else names[::-1] for i in range(rounds)]


def test_a_table_refuses_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="has 1 cells; the header has 2"):
        load("rounds").markdown_table(["a", "b"], [["only one"]])


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    machine = load("machine")
    path = tmp_path / "new" / "results.json"
    machine.write_json(path, {"runs": [1]})
    with pytest.raises(TypeError):
        machine.write_json(path, {"runs": [object()]})
    assert json.loads(path.read_text()) == {"runs": [1]}
    assert list(path.parent.iterdir()) == [path]


# Pace


def test_a_pace_leaves_the_warm_up_out():
    times = iter([100.0, 200.0, 201.0, 203.0])
    pace = load("pace").Pace(warmup=2, steps=2, clock=lambda: next(times))
    assert [pace.step(10) for _ in range(4)] == [False, False, False, True]
    assert pace.result() == {"steps": 2, "images": 20, "seconds": 3.0, "images_per_second": 20 / 3}


def test_a_pace_ends_after_its_seconds_or_its_steps():
    times = iter(range(100))
    pace = load("pace").Pace(warmup=1, steps=50, seconds=3.0, clock=lambda: next(times))
    assert [pace.step(1) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 5, "warmup": 0}, "warmup is 0"),
        ({}, "steps or seconds"),
        ({"steps": 0}, "steps is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_a_pace_refuses_what_would_not_measure(wrong, message):
    with pytest.raises(ValueError, match=message):
        load("pace").Pace(**wrong)


def test_a_training_that_ends_in_the_warm_up_has_no_pace():
    pace = load("pace").Pace(warmup=3, steps=1)
    pace.step(8)
    with pytest.raises(ValueError, match="ended within the warm-up"):
        pace.result()


# Processes


def test_a_process_is_measured_from_start_to_end():
    code = "import time; time.sleep(0.2); x = bytearray(300 * 2**20); print(len(x))"
    finished = load("processes").run_process([sys.executable, "-c", code])
    assert finished.last_json() == 300 * 2**20
    assert finished.wall_seconds >= 0.2
    if hasattr(os, "wait4"):
        assert finished.peak_memory_mib >= 300


def test_a_process_that_fails_is_told_with_its_last_words():
    with pytest.raises(RuntimeError, match=r"status 3:\nno such luck"):
        load("processes").run_process(
            [sys.executable, "-c", "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"]
        )


def test_a_process_gets_the_variables_and_keeps_the_others():
    code = "import os, json; print(json.dumps([os.environ['NEW_ONE'], 'PATH' in os.environ]))"
    run_process = load("processes").run_process
    assert run_process([sys.executable, "-c", code], environment={"NEW_ONE": "1"}).last_json() == ["1", True]


# Whole trainings


def record(rival, seed, **fields):
    return {
        "rival": rival,
        "seed": seed,
        "arguments": [],
        "epochs": 7,
        "precision": "32-true",
        "test_accuracy": 0.90,
        "test_accuracy_tta": 0.91,
        "tta": "flip, 2 views",
        "wall_seconds": 300.0,
        "train_seconds": 250.0,
        "images_per_second": 1000.0,
        "peak_memory_mib": None,
        "projected": False,
    } | fields


@given(
    rivals=st.lists(st.sampled_from(["fast", "best", "airbench94", "era"]), unique=True),
    seeds=st.lists(st.integers(0, 9), unique=True),
    done=st.integers(0, 50),
)
def test_an_interrupted_benchmark_goes_on_where_it_stopped(rivals, seeds, done):
    bench = load("bench_train")
    everything = bench.pending([], rivals, seeds)
    assert everything == [(rival, seed) for seed in seeds for rival in rivals]
    runs = [record(rival, seed) for rival, seed in everything[:done]]
    assert bench.pending(runs, rivals, seeds) == everything[done:]


def test_runs_with_other_arguments_are_other_runs_but_not_of_airbench():
    runs = [record("fast", 0), record("airbench94", 0)]
    todo = load("bench_train").pending(
        runs, ["fast", "airbench94"], [0], arguments=["--trainer.max_epochs=1"]
    )
    assert todo == [("fast", 0)]


def test_the_table_gives_means_of_accuracy_and_medians_of_time():
    runs = [
        record("fast", seed, test_accuracy=accuracy, wall_seconds=wall)
        for seed, (accuracy, wall) in enumerate([(0.90, 60.0), (0.91, 300.0), (0.92, 61.0)])
    ]
    era = {"projected": True, "measured_steps": 200, "measured_seconds": 100.0, "train_seconds": 7200.0}
    text = load("train_table").training_table([*runs, record("era", 0, wall_seconds=None, **era)])
    fast, projected = (line for line in text.splitlines() if line.startswith(("| fast", "| era")))
    assert "91.00 ± 1.00" in fast
    assert "1:01 (1:00 to 5:00)" in fast
    assert "2:00:00, projected" in projected
    assert "not trained" in projected
    assert "200 measured steps" in text


def test_the_accuracy_with_the_most_views_counts():
    best = load("bench_train").test_time_augmentation
    metrics = {"test_accuracy": 0.9, "test_accuracy_flip": 0.91, "test_accuracy_tta": 0.92}
    assert best(metrics) == (0.92, "flip and shift, 6 views")
    assert best({"test_accuracy": 0.9}) == (0.9, "none")


# Arithmetic


def test_operations_of_a_step_are_those_of_the_closed_form():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 32 * 32, 10)
    )
    conv, linear = 2 * 3 * 9 * 8 * 32 * 32, 2 * 8 * 32 * 32 * 10
    # Forward and the kernel's gradient of both; the gradient of what comes in of the second alone.
    assert load("arithmetic").step_flops(net) == 2 * conv + 3 * linear


def test_the_convolutions_of_resnet9_are_all_but_a_sliver_of_its_operations():
    arithmetic, parts = load("arithmetic"), load("recipe_parts")
    recipe = parts.read_recipe("era")
    layers = arithmetic.find_convolutions(parts.make_net(recipe))
    assert sum(layers.values()) == 8
    assert max(layers.values()) == 2
    alone = sum(
        count * arithmetic.count_flops(arithmetic.convolve(layer, batch=1)) for layer, count in layers.items()
    )
    whole = arithmetic.step_flops(parts.make_net(recipe))
    assert 0.999 < alone / whole < 1


def test_a_frozen_first_layer_is_only_passed_forward():
    arithmetic, parts = load("arithmetic"), load("recipe_parts")
    first = next(iter(arithmetic.find_convolutions(parts.make_net(parts.read_recipe("fast")))))
    assert (first.inputs, first.outputs, first.kernel) == (3, 24, 2)
    assert not first.trained
    assert not first.backward
    assert arithmetic.count_flops(arithmetic.convolve(first, batch=5)) == 5 * 2 * 12 * 24 * 31 * 31


def test_what_the_bare_loop_does_not_do_is_told():
    parts = load("recipe_parts")
    recipe = parts.Recipe("new", {"architecture": "whitenet", "trick": 1}, {}, {"callbacks": ["Average"]})
    assert recipe.left_out == ["model.trick", "trainer.callbacks"]
    assert parts.read_recipe("fast").left_out == []


def test_points_differ_from_the_base_in_one_setting():
    points = load("step_points")
    base = points.Point("fast", 125, 2, "bfloat16", micro_batch=None)
    for point in points.choose_points(base, batches=[64, 125], compiler=True)[1:]:
        different = Counter(name for name in vars(base) if getattr(point, name) != getattr(base, name))
        assert len(different) == 1 or set(different) == {"batch", "micro_batch"}


def test_a_line_is_found_again():
    intercept, slope, deviation = load("bench_scaling").fit_line([1, 2, 4], [5.1, 7.1, 11.1])
    assert (intercept, slope) == (pytest.approx(3.1), pytest.approx(2.0))
    assert deviation < 1e-9


# Short runs


@pytest.mark.filterwarnings("ignore")
def test_the_bare_loop_does_lightnings_steps():
    """Else their ratio would compare two different things."""
    parts, pace, slices = load("recipe_parts"), load("pace"), load("lightning_slice")
    small = {"source": "synthetic", "train_limit": 64, "val_size": 10, "batch_size": 16}
    recipe = parts.read_recipe("fast")
    # Two micro-batches side by side.
    recipe.model["micro_batch"] = 8
    bare = parts.train_bare(recipe, pace.Pace(warmup=1, steps=2), **small)
    arguments = [word for name, value in small.items() for word in (f"--data.{name}", str(value))]
    counted = pace.Pace(warmup=1, steps=2)
    model, result = slices.fit_slice(["--recipe", "fast", "--model.micro_batch", "8", *arguments], counted)
    assert result["images"] == 32
    ours = model.net.state_dict()
    fresh = parts.make_net(recipe).state_dict()
    for name, tensor in bare.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(ours["layer3.conv2.weight"], fresh["layer3.conv2.weight"], atol=1e-3)


def test_one_step_of_each_kind_is_measured():
    bench, points = load("bench_step"), load("step_points")
    tried = [
        points.Point("fast", 4, 1, "float32"),
        points.Point("fast", 4, 1, "bfloat16", channels_last=False),
        points.Point("fast", 4, 1, "float32", micro_batch=2),
    ]
    rows, report = bench.measure_steps(tried, rounds=1, seconds=0.001)
    assert len(rows) == len(report["points"]) == 3
    assert all(one["images_per_second"]["median"] > 0 for one in report["points"])


def test_each_convolution_is_measured_alone():
    bench, parts = load("bench_step"), load("recipe_parts")
    recipe = parts.read_recipe("fast")
    recipe.data["batch_size"] = 4
    rows, report = bench.measure_convolutions(recipe, rounds=1, seconds=0.001)
    # Of its seven convolutions two are alike.
    assert len(rows) == len(report["layers"]) == 6 + 1
    assert list(report["layers"])[-1] == "all of them"


def test_evaluation_agrees_with_the_naive_loop():
    bench = load("bench_eval")
    images = bench.load_images(20, synthetic=True)
    rows, report = bench.measure("whitenet", images, batches=[7], rounds=1)
    assert len(rows) == 3
    assert report["ours, 7"]["different_predictions"] == 0
    assert report["ours, 7"]["largest_logit_difference"] <= 1e-4 * report["ours, 7"]["largest_logit"]


def test_starting_is_measured_in_fresh_processes():
    bench = load("bench_start")
    rivals = {
        bench.BASE: [sys.executable, "-c", "pass"],
        "slow": [sys.executable, "-c", "import time; time.sleep(1)"],
    }
    rows, report = bench.measure(rivals, rounds=1)
    assert len(rows) == 2
    assert report["slow"]["seconds"]["median"] >= 1


def test_the_figure_of_scaling_exists_for_light_and_dark_pages(tmp_path):
    def points(*names):
        one = {"median": 2.0, "lowest": 1.0, "highest": 3.0, "n": 3, "values": [1.0, 2.0, 3.0]}
        return dict.fromkeys(names, one)

    report = {
        "cores": points("1 thread", "2 threads", "2 processes"),
        "images": points("1000", "2000"),
        "width": points("16", "32"),
        "line": {"start_up_seconds": 1.0, "seconds_per_image": 0.001, "largest_deviation": 0.0},
    }
    paths = load("scaling_figure").write_scaling(report, tmp_path / "figures")
    assert [path.name for path in paths] == ["scaling.png", "scaling-dark.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert "| 2 processes | 3 |" in load("bench_scaling").tables(report)


@pytest.mark.slow
def test_whole_trainings_are_written_one_by_one_and_not_repeated(tmp_path):
    out = tmp_path / "runs.json"
    small = "--data.source synthetic --data.train_limit 64 --data.val_size 10 --data.batch_size 32"
    command = ["bench_train.py", "--rivals", "fast", "--seeds", "0", "--out", out, "--"]
    command += [*small.split(), "--trainer.max_epochs", "1"]
    first = run(*command)
    assert "| fast --data.source synthetic" in first.output
    (made,) = json.loads(out.read_text())["runs"]
    assert made["wall_seconds"] > made["train_seconds"] > 0
    assert 0 <= made["test_accuracy"] <= 1
    run(*command)
    assert json.loads(out.read_text())["runs"] == [made]


@pytest.mark.slow
def test_a_slice_with_other_widths_runs_in_a_process_of_its_own():
    bench = load("bench_scaling")
    (measured,) = bench.width_sides([4], threads=1, steps=1, source="synthetic").values()
    assert measured() > 0


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("airbench", "torchvision")),
    reason="airbench and torchvision are in the group bench",
)
def test_airbench_trains_on_the_processor():
    found = run("airbench_on_cpu.py", "--source", "synthetic", "--steps", 1, "--warmup", 1).last_json()
    assert found["images"] == 1024
    assert found["images_per_second"] > 0
