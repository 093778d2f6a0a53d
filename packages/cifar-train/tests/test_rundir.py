import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_train.formatting import format_duration
from cifar_train.runs.directory import create_run, find_run, point_latest
from cifar_train.runs.summary import Summary, read_summary, write_summary


def test_runs_of_one_second_get_directories_of_their_own(tmp_path):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(create_run(tmp_path, "fast").path)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16
    assert all(path.is_dir() for path in made)


def test_latest_moves_in_one_step_and_links_within_its_directory(tmp_path):
    first, second = create_run(tmp_path, "a"), create_run(tmp_path, "b")
    point_latest(first.path)
    point_latest(second.path)
    assert find_run(tmp_path / "latest").path == second.path.resolve()
    assert (tmp_path / "latest").readlink() == Path(second.path.name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([first.path.name, second.path.name, "latest"])


def test_a_missing_run_is_answered_with_those_that_are_there(tmp_path):
    there = create_run(tmp_path, "fast")
    with pytest.raises(FileNotFoundError, match=there.path.name):
        find_run(tmp_path / "nowhere")


def summary():
    return Summary(
        recipe="fast", architecture="whitenet", parameters=1, seed=0, epochs=2, metrics={"test_accuracy": 0.5},
        wall_seconds=1.0, train_seconds=0.5, images_per_second=10.0, data={}, environment={}, command=["cifar-train"],
    )  # fmt: skip


def test_a_summary_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "report/summary.json"
    write_summary(path, summary())
    assert read_summary(path) == summary()
    assert [p.name for p in path.parent.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 99}', '{"format_version": 1}'])
def test_a_damaged_summary_is_refused_by_name(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json"):
        read_summary(path)


@given(st.integers(0, 10**6))
def test_durations_read_back(seconds):
    parts = [int(part) for part in format_duration(seconds).split(":")]
    assert sum(part * 60**power for power, part in enumerate(reversed(parts))) == seconds
