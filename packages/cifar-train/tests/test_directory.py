import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_train.formatting import format_duration
from cifar_train.runs.directory import create_run, find_run, point_latest


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


def test_latest_is_replaced_and_links_within_its_directory(tmp_path):
    first, second = create_run(tmp_path, "a"), create_run(tmp_path, "b")
    point_latest(first.path)
    point_latest(second.path)
    assert find_run(tmp_path / "latest").path == second.path.resolve()
    assert (tmp_path / "latest").readlink() == Path(second.path.name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([first.path.name, second.path.name, "latest"])


def test_missing_run_is_answered_with_the_runs_beside_it(tmp_path):
    create_run(tmp_path, "fast").config.touch()
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path.name}: fast-[-\d]+$"):
        find_run(tmp_path / "nowhere")


@given(st.integers(0, 10**6))
def test_durations_read_back(seconds):
    parts = [int(part) for part in format_duration(seconds).split(":")]
    assert sum(part * 60**power for power, part in enumerate(reversed(parts))) == seconds
