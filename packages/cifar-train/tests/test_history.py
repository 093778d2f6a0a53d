import csv

import numpy as np
import pytest

from cifar_train.runs.history import read_history


@pytest.fixture
def metrics(tmp_path):
    """Write a metrics.csv of the given rows; absent values are empty cells."""

    def write(*rows):
        path = tmp_path / "metrics.csv"
        names = ["epoch", "step", *sorted({name for row in rows for name in row} - {"epoch", "step"})]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def test_steps_are_counted_in_epochs(metrics):
    history = read_history(
        metrics(
            {"epoch": 0, "step": 4, "train_loss_step": 2.0},
            {"epoch": 0, "step": 9, "train_loss_epoch": 1.5, "val_loss": 1.2},
            {"epoch": 1, "step": 14, "train_loss_step": 1.0},
            {"epoch": 1, "step": 19, "train_loss_epoch": 0.9, "val_loss": 0.8},
        )
    )
    np.testing.assert_allclose(history.step_loss.epochs, [0.5, 1.5])
    np.testing.assert_allclose(history.step_loss.values, [2.0, 1.0])
    assert history.rows == [
        {"epoch": 1, "train_loss_epoch": 1.5, "val_loss": 1.2},
        {"epoch": 2, "train_loss_epoch": 0.9, "val_loss": 0.8},
    ]


def test_groups_that_agree_are_one(metrics):
    history = read_history(
        metrics(
            {"epoch": "", "step": 9, "lr-Muon/pg1": 0.1, "lr-Muon/pg2": 0.1, "lr-Muon/pg1-momentum": 0.6}
            | {"lr-Muon/pg2-momentum": 0.9},
            {"epoch": "", "step": 19, "lr-Muon/pg1": 0.05, "lr-Muon/pg2": 0.05, "lr-Muon/pg1-momentum": 0.6}
            | {"lr-Muon/pg2-momentum": 0.9},
        )
    )
    assert list(history.learning_rates) == ["Muon/pg1"]
    np.testing.assert_allclose(history.learning_rates["Muon/pg1"].values, [0.1, 0.05])
    assert list(history.momenta) == ["Muon/pg1", "Muon/pg2"]


def test_a_run_without_a_finished_epoch_has_no_rows(metrics):
    history = read_history(metrics({"epoch": 0, "step": 0, "train_loss_step": 2.0}))
    assert history.rows == []
    assert len(history.step_loss) == 1


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n"])
def test_another_table_is_refused(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"no metrics\.csv of a run"):
        read_history(path)


def test_a_damaged_value_is_named(metrics):
    with pytest.raises(ValueError, match="'oops'"):
        read_history(metrics({"epoch": 0, "step": 0, "train_loss_step": "oops"}))


def test_a_row_that_was_cut_short_is_left_out(metrics):
    path = metrics(
        {"epoch": 0, "step": 4, "train_loss_step": 2.0, "val_loss": 1.0},
        {"epoch": 0, "step": 9, "train_loss_step": 1.0},
    )
    whole = read_history(path)
    for torn in ("1", "1,1", "1,x,2.0,1.0", "10,4,2.0,1.00,4,2.0,1.0"):
        with path.open("a") as file:
            file.write(f"{torn}\n")
    torn = read_history(path)
    np.testing.assert_array_equal(torn.step_loss.values, whole.step_loss.values)
    assert torn.rows == whole.rows


def test_a_last_row_is_whole_or_left_out_wherever_it_was_cut(metrics):
    path = metrics(
        {"epoch": 0, "step": 4, "val_loss": 1.5},
        {"epoch": 1, "step": 9, "val_loss": 1.25e-05},
    )
    content = path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    for cut in range(1, last + 1):
        path.write_bytes(content[:-cut])
        assert read_history(path).rows == [{"epoch": 1, "val_loss": 1.5}]
