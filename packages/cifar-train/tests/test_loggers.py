import csv

from cifar_train.loggers import HistoryLogger, drop_later_rows


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


def test_rows_set_aside_when_a_process_died_are_put_back(tmp_path):
    log(tmp_path, (0, {"a": 1.0}))
    # As if the process had died between the two renames of a resumption.
    (tmp_path / "metrics.csv").rename(tmp_path / "metrics.csv.resumed")
    log(tmp_path, (1, {"a": 2.0}))
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1"]
    assert not (tmp_path / "metrics.csv.resumed").exists()


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
