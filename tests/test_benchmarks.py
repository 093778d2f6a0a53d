"""The benchmarks measure what they claim: statistics, resuming, operations, and equal steps on both sides."""

import doctest
import importlib.util
import json
import sys

import arithmetic
import bench_eval
import bench_scaling
import bench_step
import bench_train
import harness
import numpy as np
import pytest
import results
import shipping
import torch
from hypothesis import given
from hypothesis import strategies as st

SMALL = ["--data.source=synthetic", "--data.train_limit=32", "--data.val_size=10", "--data.batch_size=16"]


@pytest.mark.parametrize("module", [arithmetic, bench_step, harness, results, shipping])
def test_examples_of_docstrings_are_true(module):
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@given(values=st.lists(st.floats(0.1, 1e6), min_size=2, max_size=20))
def test_summary_agrees_with_numpy(values):
    found = harness.summarize(values)
    assert (found["lowest"], found["highest"], found["n"]) == (min(values), max(values), len(values))
    assert found["median"] == pytest.approx(np.median(values))
    assert harness.spread(values, 3).startswith(f"{np.median(values):,.3f}")
    expected = f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert harness.mean_and_deviation(values) == expected


def test_interleaved_rivals_take_turns_at_going_first_and_warm_up():
    order = []
    rivals = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    found = harness.interleave(rivals, rounds=2, warmup=1)
    assert "".join(order) == "abccbaabc"
    assert found == {"a": [6, 7], "b": [5, 8], "c": [4, 9]}


def test_ratios_are_taken_round_by_round():
    rows, report = harness.compare({"base": [1.0, 10.0], "other": [2.0, 30.0]}, "base")
    assert report["other"]["ratio"] == {"median": 2.5, "lowest": 2.0, "highest": 3.0, "n": 2}
    assert rows[1] == ["other", "2", "16 (2 to 30)", "2.50 (2.00 to 3.00)"]


def test_report_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "results.json"
    harness.write_json(path, {"runs": [1]})
    with pytest.raises(TypeError):
        harness.write_json(path, {"runs": [object()]})
    assert json.loads(path.read_text("utf-8")) == {"runs": [1]}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("limits", [{"steps": 2}, {"seconds": 3.0}, {"steps": 50, "seconds": 3.0}])
def test_pace_leaves_the_warm_up_out_and_ends_at_its_limit(limits):
    times = iter([100.0, 200.0, 201.0, 203.0])
    pace = harness.Pace(warmup=2, clock=lambda: next(times), **limits)
    assert [pace.step(10) for _ in range(4)] == [False, False, False, True]
    assert pace.result() == {"steps": 2, "images": 20, "seconds": 3.0, "images_per_second": 20 / 3}


def test_pace_rejects_limits_that_measure_nothing():
    for wrong in ({"steps": 5, "warmup": 0}, {"warmup": 5}, {"steps": 0}, {"seconds": float("nan")}):
        with pytest.raises(ValueError, match=f"{[*wrong][-1]} is|steps or seconds"):
            harness.Pace(**wrong)
    pace = harness.Pace(warmup=3, steps=1)
    pace.step(8)
    with pytest.raises(ValueError, match="ended within the warm-up"):
        pace.result()


def test_process_is_measured_from_start_to_end_and_a_failing_one_reported_with_its_last_output():
    code = "import json, os, time; x = bytearray(300 * 2**20); time.sleep(0.2); print(os.environ['ONE'])"
    finished = harness.run_process([sys.executable, "-c", code], environment={"ONE": "1"})
    assert finished.last_json() == 1
    assert finished.costs["wall_seconds"] >= 0.2
    assert finished.costs["peak_memory_mib"] >= 300
    code = "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"status 3:\nno such luck"):
        harness.run_process([sys.executable, "-c", code])


def record(rival, seed, **fields):
    return {
        "rival": rival, "seed": seed, "arguments": [], "epochs": 7, "precision": "32-true", "test_accuracy": 0.90,
        "test_accuracy_tta": 0.91, "tta": "flip, 2 views", "wall_seconds": 300.0, "train_seconds": 250.0,
        "images_per_second": 1000.0, "peak_memory_mib": 900.0, **fields,
    }  # fmt: skip


def test_interrupted_benchmark_resumes_with_the_next_run():
    order = [("fast", 3), ("airbench94", 3), ("fast", 1), ("airbench94", 1)]
    for done in range(5):
        runs = [record(rival, seed) for rival, seed in order[:done]]
        todo = bench_train.pending(runs, ["fast", "airbench94"], [3, 1])
        assert [(run["rival"], run["seed"]) for run in todo] == order[done:]
    # Runs with other arguments are other runs, except of airbench.
    runs, arguments = [record("fast", 0), record("airbench94", 0)], ["--trainer.max_epochs=1"]
    todo = bench_train.pending(runs, ["fast", "airbench94"], [0], arguments=arguments)
    assert todo == [{"rival": "fast", "seed": 0, "arguments": arguments}]


def test_table_has_means_of_accuracies_and_medians_of_times():
    runs = [
        record("fast", seed, test_accuracy=accuracy, wall_seconds=wall, peak_memory_mib=1000.0 + seed)
        for seed, (accuracy, wall) in enumerate([(0.90, 60.0), (0.91, 300.0), (0.92, 61.0)])
    ]
    lines = bench_train.training_table([*runs, record("best", 0)]).splitlines()
    fast = next(line for line in lines if line.startswith("| fast"))
    for cell in ("91.00 ± 1.00", "0:01:01 (0:01:00 to 0:05:00)", "1,002"):
        assert cell in fast
    # The strongest test-time augmentation counts.
    metrics = {"test_accuracy": 0.9, "test_accuracy_flip": 0.91, "test_accuracy_tta": 0.92}
    assert bench_train.best_tta(metrics) == (0.92, "flip and shift, 6 views")
    assert bench_train.best_tta({"test_accuracy": 0.9}) == (0.9, "none")


def test_operations_of_a_step_have_a_closed_form():
    layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 32 * 32, 10)]
    conv, linear = 2 * 3 * 9 * 8 * 32 * 32, 2 * 8 * 32 * 32 * 10
    # Forward and the kernel's gradient of both; the gradient of the input of the second alone.
    assert arithmetic.step_flops(torch.nn.Sequential(*layers)) == 2 * conv + 3 * linear
    # A frozen first layer has only a forward pass.
    first, second = torch.nn.Conv2d(3, 24, 2), torch.nn.Conv2d(24, 8, 3)
    first.requires_grad_(False)
    layers = list(arithmetic.find_convolutions(torch.nn.Sequential(first, second)))
    operations = [arithmetic.count_flops(arithmetic.convolve(layer, batch=5)) for layer in layers]
    # The second layer has the gradient of its kernel, too, and not that of its input.
    assert operations == [5 * 2 * 12 * 24 * 31 * 31, 2 * 5 * 2 * 24 * 9 * 8 * 29 * 29]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_each_kind_of_step_and_each_convolution_is_measured():
    settings = ["float32", {}], ["bfloat16", {"channels_last": False}], ["float32", {"micro_batch": 2}]
    points = [bench_step.Point("fast", 4, 1, precision, **given) for precision, given in settings]
    works = [*map(bench_step.step_work, points), *bench_step.convolution_works("fast", batch=4)]
    rows, report = bench_step.measure_works(works, rounds=1, seconds=0.001)
    # Two of the network's seven convolutions are alike; the last row is all of them together.
    assert len(rows) == len(report) == 3 + 6 + 1
    assert all(one["gflops"]["median"] > 0 for one in report.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_bare_loop_makes_the_steps_of_cifar_train(tmp_path):
    from cifar_models import load_weights
    from cifar_train.cli import main

    # Two steps, each of two micro-batches side by side.
    arguments = [*SMALL, "--model.micro_batch=8", "--model.low_resolution.until=0", "--trainer.max_epochs=1"]
    recipe = bench_step.Recipe("fast", *arguments)
    fresh = {name: tensor.clone() for name, tensor in recipe.model.net.state_dict().items()}
    bench_step.train_bare(recipe, harness.Pace(warmup=1, steps=9))
    bare = recipe.model.net.state_dict()
    assert main(["fit", "--recipe", "fast", *arguments, "--runs", str(tmp_path)]) == 0
    trained = load_weights(tmp_path / "latest" / "model.safetensors").model.state_dict()
    for name, tensor in trained.items():
        torch.testing.assert_close(bare[name].float(), tensor.float(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(fresh["layer3.conv2.weight"], bare["layer3.conv2.weight"], atol=1e-3)


def test_evaluation_agrees_with_the_naive_loop():
    images = bench_eval.load_images(20, source="synthetic")
    rows, report = bench_eval.measure("whitenet", images, batches=[7], rounds=1)
    assert len(rows) == 3
    assert report["ours, 7"]["relative_logit_difference"] <= 1e-4


def test_scaling_is_drawn_for_light_and_dark_pages(tmp_path):
    one = {**harness.summarize([1.0, 2.0, 3.0]), "values": [1.0, 2.0, 3.0]}
    points = {"cores": ["1 thread", "2 processes"], "images": ["1000", "2000"], "width": ["16", "32"]}
    report = {name: dict.fromkeys(of, one) for name, of in points.items()}
    report["line"] = bench_scaling.fit_line([1000, 2000, 4000], [5.1, 7.1, 11.1])
    assert report["line"]["start_up_seconds"] == pytest.approx(3.1)
    assert report["line"]["largest_deviation"] < 1e-9
    bench_scaling.write_figures(report, tmp_path)
    drawn = [(tmp_path / name).read_bytes() for name in ("scaling.png", "scaling-dark.png")]
    assert all(image.startswith(b"\x89PNG") for image in drawn)
    assert drawn[0] != drawn[1]
    assert "| 2 processes | 3 |" in bench_scaling.tables(report)


@pytest.mark.slow
def test_whole_trainings_are_written_one_by_one_and_not_repeated(tmp_path):
    out = tmp_path / "runs.json"
    command = harness.script("bench_train.py", "--rivals", "fast", "--seeds", "0", "--out", str(out), "--")
    command += [*SMALL, "--trainer.max_epochs=1"]
    assert "| fast --data.source=synthetic" in harness.run_process(command).output
    (made,) = json.loads(out.read_text("utf-8"))["runs"]
    assert made["wall_seconds"] > made["train_seconds"] > 0
    assert 0 <= made["test_accuracy"] <= 1
    harness.run_process(command)
    assert json.loads(out.read_text("utf-8"))["runs"] == [made]


@pytest.mark.slow
def test_slice_of_other_width_and_length_runs_in_its_own_process():
    finished = harness.run_slice("fast", *SMALL, bench_scaling.widths_argument(4), steps=3, warmup=1)
    found = finished.last_json()
    assert (found["steps"], found["images"], found["batch_size"]) == (3, 48, 16)
    assert found["images_per_second"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("airbench"), reason="it is in the dependency group bench")
def test_airbench_trains_on_the_cpu():
    command = harness.script("airbench_on_cpu.py", "--source", "synthetic", "--steps", "1", "--warmup", "1")
    found = harness.run_process(command).last_json()
    assert found["images"] == 1024
    assert found["images_per_second"] > 0
