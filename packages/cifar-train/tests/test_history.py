"""metrics.csv: written row by row, kept over resumed runs and full disks, and read back as curves."""

import csv
import errno

import numpy as np
import pytest

from cifar_train.runs.history import HistoryLogger, drop_later_rows, read_history


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def log(path, *entries):
    logger = HistoryLogger(path)
    for step, values in entries:
        logger.log_metrics(values, step)


def test_steps_are_counted_in_epochs(path):
    steps = [(4, {"epoch": 0, "train_loss_step": 2.0}), (14, {"epoch": 1, "train_loss_step": 1.0})]
    ends = [{"epoch": epoch, "train_loss_epoch": 1.5 - epoch, "val_loss": 1.2 - epoch} for epoch in range(2)]
    log(path, steps[0], (9, ends[0]), steps[1], (19, ends[1]))
    history = read_history(path)
    np.testing.assert_allclose(history.step_loss, [[0.5, 2.0], [1.5, 1.0]])
    assert history.rows == [{**end, "epoch": end["epoch"] + 1} for end in ends]


def test_parameter_groups_that_are_multiples_of_each_other_are_merged(path):
    rest = {"lr-SGD/pg3": 0.1, "lr-SGD/pg1-momentum": 0.6, "lr-SGD/pg2-momentum": 0.9, "epoch": ""}
    for step, rate in ((9, 0.1), (19, 0.05)):
        log(path, (step, {"lr-SGD/pg1": rate, "lr-SGD/pg2": 3 * rate, **rest}))
    history = read_history(path)
    assert list(history.learning_rates) == ["SGD/pg1", "SGD/pg3"]
    np.testing.assert_allclose(history.learning_rates["SGD/pg1"][:, 1], [0.1, 0.05])
    assert list(history.momenta) == ["SGD/pg1"]
    assert history.rows == []


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "epoch,step,train_loss_step\n0,0,oops\n"])
def test_other_tables_and_values_are_rejected(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match="'oops'" if "oops" in content else r"no metrics\.csv of a run"):
        read_history(path)


def test_last_row_is_whole_or_left_out_wherever_it_was_cut(path):
    log(path, (4, {"epoch": 0, "val_loss": 1.5}), (9, {"epoch": 1, "val_loss": 1.25e-05}))
    content = path.read_bytes()
    last = content.splitlines(keepends=True)[-1]
    for cut in range(1, len(last) + 1):
        path.write_bytes(content[:-cut])
        assert read_history(path).rows == [{"epoch": 1, "val_loss": 1.5}]


@pytest.mark.parametrize(
    "torn", ["3", "4.0,", "4.0,3.0,4", "4.0,1.5,34.0,1.0,4", ",,", "\0\0\0", "4.0,1.0,4.5", "4,,1.0"]
)
def test_row_that_was_cut_short_is_left_out_and_the_others_kept(path, torn):
    log(path, *((step, {"epoch": step, "train_loss_step": 1.0}) for step in range(3)))
    before = rows(path)
    with path.open("a", newline="") as file:
        file.write(f"{torn}\r\n")
    assert len(read_history(path).step_loss) == 3
    drop_later_rows(path, step=10, epoch=9)
    assert rows(path) == before
    log(path, (3, {"epoch": 3, "train_loss_step": 1.0}))
    assert [row["step"] for row in rows(path)] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("kept", range(len("epoch,step,z\r\n")))
def test_header_that_was_cut_short_leaves_no_column_behind(path, kept):
    path.write_text("epoch,step,z\r\n"[:kept], newline="")
    drop_later_rows(path, step=10, epoch=9)
    log(path, (0, {"epoch": 0, "z": 1.0}))
    assert rows(path) == [{"epoch": "0", "step": "0", "z": "1.0"}]


@pytest.mark.parametrize("call", ["os.fsync", "Path.replace"])
def test_second_logger_appends_and_a_full_disk_at_a_new_column_changes_nothing(path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    log(path, (0, {"a": 1.0}), (1, {"a": 2.0}))
    log(path)
    before, new = path.read_bytes(), (2, {"a": 3.0, "b": 4.0})
    with monkeypatch.context() as patched:
        patched.setattr(f"cifar_models.atomic.{call}", full)
        with pytest.raises(OSError, match="No space"):
            log(path, new)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    log(path, new)
    found = [(row["step"], row["a"], row["b"]) for row in rows(path)]
    assert found == [("0", "1.0", ""), ("1", "2.0", ""), ("2", "3.0", "4.0")]


def test_rows_that_are_logged_again_are_dropped_and_the_others_kept_to_the_letter(path):
    drop_later_rows(path, step=4, epoch=1)
    assert not path.exists()
    log(path, *((3, {"epoch": epoch, "val_loss": 1 / 3}) for epoch in range(3)))
    log(path, *((step, {"a": step / 3, "epoch": 0}) for step in range(6)))
    before = rows(path)
    drop_later_rows(path, step=4, epoch=1)
    assert rows(path) == [before[0], *before[3:7]]
