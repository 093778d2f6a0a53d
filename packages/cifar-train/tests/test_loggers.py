import csv
import errno

import pytest

from cifar_train.runs.loggers import HistoryLogger, drop_later_rows


def rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def log(directory, *entries):
    logger = HistoryLogger(directory)
    for step, metrics in entries:
        logger.log_metrics(metrics, step)
    logger.finalize("success")


def test_a_second_logger_goes_on_below_the_first_ones_rows(tmp_path):
    log(tmp_path, (0, {"a": 1.0}), (1, {"a": 2.0}))
    log(tmp_path, (2, {"a": 3.0, "b": 4.0}))
    assert [(row["step"], row["a"], row["b"]) for row in rows(tmp_path)] == [
        ("0", "1.0", ""), ("1", "2.0", ""), ("2", "3.0", "4.0"),
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_at_a_new_column_leaves_the_rows_there_were(tmp_path, monkeypatch, call):
    log(tmp_path, (0, {"a": 1.0}), (1, {"a": 2.0}))
    before = (tmp_path / "metrics.csv").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("cifar_models.atomic." + {"fsync": "os.fsync", "replace": "Path.replace"}[call], full)
        with pytest.raises(OSError, match="No space"):
            log(tmp_path, (2, {"a": 3.0, "b": 4.0}))
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    log(tmp_path, (2, {"a": 3.0, "b": 4.0}))
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2"]


def test_what_is_saved_again_after_a_full_disk_at_a_new_column_is_under_its_columns(tmp_path, monkeypatch):
    log(tmp_path, (0, {"a": 1.0}))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    logger = HistoryLogger(tmp_path)
    logger.log_metrics({"a": 2.0, "b": 3.0}, 1)
    with monkeypatch.context() as patched:
        patched.setattr("cifar_models.atomic.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            logger.save()
    logger.finalize("failed")  # as a trainer does
    assert rows(tmp_path) == [{"a": "1.0", "b": "", "step": "0"}, {"a": "2.0", "b": "3.0", "step": "1"}]


@pytest.mark.parametrize("kept", range(len("epoch,step,z\r\n")))
def test_a_header_that_was_cut_short_leaves_no_column_behind(tmp_path, kept):
    (tmp_path / "metrics.csv").write_text("epoch,step,z\r\n"[:kept], newline="")
    drop_later_rows(tmp_path / "metrics.csv", step=10)
    log(tmp_path, (0, {"epoch": 0, "z": 1.0}))
    assert rows(tmp_path) == [{"epoch": "0", "step": "0", "z": "1.0"}]


@pytest.mark.parametrize(
    "torn", ["3", "4.0,", "4.0,3.0,4", "4.0,1.5,34.0,1.0,4", ",,", "\0\0\0", "4.0,1.0,4.5"]
)
def test_a_row_that_was_cut_short_is_left_out_and_the_others_kept(tmp_path, torn):
    log(tmp_path, *((step, {"epoch": step, "a": 1.0, "b": 2.0}) for step in range(3)))
    before = rows(tmp_path)
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        file.write(f"{torn}\r\n")
    drop_later_rows(tmp_path / "metrics.csv", step=10)
    assert rows(tmp_path) == before
    log(tmp_path, (3, {"epoch": 3, "a": 1.0, "b": 2.0}))
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]


def test_a_logger_that_logs_nothing_leaves_earlier_rows_alone(tmp_path):
    log(tmp_path, (0, {"a": 1.0}))
    before = (tmp_path / "metrics.csv").read_bytes()
    log(tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_rows_from_a_step_on_are_dropped_and_the_others_kept_to_the_letter(tmp_path):
    log(tmp_path, *((step, {"a": step / 3}) for step in range(6)))
    before = rows(tmp_path)
    drop_later_rows(tmp_path / "metrics.csv", step=4)
    assert rows(tmp_path) == before[:4]
    assert [path.name for path in tmp_path.glob("metrics*")] == ["metrics.csv"]


def test_without_a_history_there_is_nothing_to_drop(tmp_path):
    drop_later_rows(tmp_path / "metrics.csv", step=4)
    assert list(tmp_path.iterdir()) == []
