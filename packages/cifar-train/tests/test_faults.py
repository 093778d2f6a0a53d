"""A run that is killed, or whose disk is full, keeps what it has and is resumed from there."""

import csv
import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from cifar_models import load_weights, read_header
from cifar_train.cli import evaluate as commands
from cifar_train.runs.checkpoint import read_checkpoint, restore_model
from cifar_train.runs.directory import RunDirectory, claim
from cifar_train.runs.export import weights_are_current
from cifar_train.runs.summary import read_summary
from cifar_train.training.module import LitClassifier


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it and tidy up."""


@pytest.fixture
def kill_at(monkeypatch):
    def arrange(step):
        original = LitClassifier.training_step

        def training_step(self, batch, batch_idx):
            if self.trainer.global_step == step:
                raise Killed
            return original(self, batch, batch_idx)

        monkeypatch.setattr(LitClassifier, "training_step", training_step)
        return lambda: monkeypatch.setattr(LitClassifier, "training_step", original)

    return arrange


def rows():
    with Path("runs/latest/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights():
    return load_weights(Path("runs/latest/model.safetensors")).model.state_dict()


def test_run_killed_within_an_epoch_resumes_to_the_same_weights(cifar_train, small, kill_at):
    assert cifar_train("fit", *small, "--trainer.max_epochs=3")[0] == 0
    whole = weights()

    restore = kill_at(3)  # two steps an epoch: in the middle of the second
    with pytest.raises(Killed):
        cifar_train("fit", *small, "--trainer.max_epochs=3")
    restore()
    killed = Path("runs/latest").resolve()
    assert read_checkpoint(killed / "checkpoints/last.ckpt")["epoch"] == 0
    before = [row for row in rows() if row["val_accuracy"]]
    logged = [(row["epoch"], row["step"]) for row in rows() if row["train_loss_step"]]
    assert ("1", "2") in logged, "the step after the checkpoint was logged too, and will be again"

    code, _, err = cifar_train("fit", "--ckpt_path=last")
    assert code == 0, err
    assert Path("runs/latest").resolve() == killed
    resumed = weights()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    after = [row for row in rows() if row["val_accuracy"]]
    assert after[: len(before)] == before
    assert [row["epoch"] for row in after] == ["0", "1", "2"]
    logged = [(row["epoch"], row["step"]) for row in rows() if row["train_loss_step"]]
    assert logged == sorted(set(logged), key=lambda row: int(row[1])), "no step is logged twice"


def test_run_of_an_earlier_version_is_resumed(cifar_train, small):
    assert cifar_train("fit", *small, "--model.tta=none")[0] == 0
    config = Path("runs/latest/config.yaml")
    text = config.read_text()
    assert "class_path: cifar_train.Muon\n" in text
    former = text.replace("cifar_train.Muon", "cifar_train.muon.Muon").replace(
        "tta: none", "test_views: plain"
    )
    config.write_text(former)
    code, _, err = cifar_train("fit", "--ckpt_path=last", "--trainer.max_epochs=3")
    assert code == 0, err
    assert "tta: none" in config.read_text()
    Path("former.yaml").write_text(former)
    assert cifar_train("fit", "--config=former.yaml", "--trainer.max_epochs=1")[0] == 0


def test_full_disk_at_a_checkpoint_leaves_the_previous_one(cifar_train, small, monkeypatch):
    flush = os.fsync
    full = False

    def fsync(descriptor):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    validate = LitClassifier.on_train_epoch_end

    def on_train_epoch_end(self):
        nonlocal full
        full = self.current_epoch == 1
        validate(self)

    with monkeypatch.context() as patched:
        patched.setattr("cifar_models.atomic.os.fsync", fsync)
        patched.setattr(LitClassifier, "on_train_epoch_end", on_train_epoch_end)
        code, _, err = cifar_train("fit", *small, "--trainer.max_epochs=3")
    assert code == 2
    assert "No space left" in err
    assert "--ckpt_path" in err
    good = read_checkpoint(Path("runs/latest/checkpoints/last.ckpt"))
    assert good["epoch"] == 0
    assert sorted(path.name for path in Path("runs/latest/checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]

    code, _, err = cifar_train("fit", "--ckpt_path=runs/latest/checkpoints/last.ckpt")
    assert code == 0, err


def test_run_that_fails_at_once_leaves_no_directory(cifar_train, small):
    code, _, _ = cifar_train("fit", *small, "--data.root=nowhere", "--data.source=auto")
    assert code == 2
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_finished_run_that_is_resumed_and_killed_is_reported_as_it_is_now(
    cifar_train, small, kill_at, monkeypatch, dtype
):
    reported = []
    monkeypatch.setattr(commands, "write_results", lambda *_, **kw: reported.append(kw["summary"]))
    # Without a validation split each epoch's checkpoint is the best one.
    arguments = [*small, "--data.val_size=0"]
    assert cifar_train(*arguments)[0] == 0
    run = RunDirectory(Path("runs/latest").resolve())
    assert cifar_train("export", f"--out={run.weights}", f"--dtype={dtype}")[0] == 0
    finished = run.weights.read_bytes()
    assert weights_are_current(run)
    assert cifar_train("report")[0] == 0
    assert run.weights.read_bytes() == finished, "a file of the best checkpoint stays as it is"
    assert reported.pop() == read_summary(run.summary)

    restore = kill_at(7)  # two steps an epoch: in the fourth
    with pytest.raises(Killed):
        cifar_train("--ckpt_path=last", "--trainer.max_epochs=4")
    restore()
    assert run.weights.read_bytes() == finished
    assert not weights_are_current(run)
    # Metrics of other weights are not passed on.
    assert cifar_train("export", "--out=apart.safetensors")[0] == 0
    assert set(read_header(Path("apart.safetensors")).metrics) == {"data_fingerprint"}

    code, _, err = cifar_train("report")
    assert code == 0, err
    assert "model.safetensors of the best checkpoint" in err
    assert read_header(run.weights).dtype == dtype
    assert "test_accuracy" not in read_header(run.weights).metrics
    stored, best = weights(), restore_model(read_checkpoint(run.best))[0].state_dict()
    for name, value in best.items():
        torch.testing.assert_close(stored[name], value, rtol=1e-3, atol=1e-6)
    (summary,) = reported
    assert (summary.epochs, summary.steps) == (3, 6)
    assert summary.wall_seconds is None
    assert "test_accuracy" not in summary.metrics


def let_the_first_epoch_be_the_best(monkeypatch):
    validate = LitClassifier._log_metrics

    def worse_than_the_first(self, stage, logits, labels):
        if stage == "val" and self.trainer.current_epoch:
            logits = -torch.nn.functional.one_hot(labels, logits.shape[1]).float()
        validate(self, stage, logits, labels)

    monkeypatch.setattr(LitClassifier, "_log_metrics", worse_than_the_first)


def test_last_checkpoint_is_of_the_last_epoch_also_if_another_was_better(
    cifar_train, small, kill_at, monkeypatch
):
    let_the_first_epoch_be_the_best(monkeypatch)
    restore = kill_at(5)  # two steps an epoch: in the third
    with pytest.raises(Killed):
        cifar_train(*small, "--trainer.max_epochs=3")
    restore()
    run = RunDirectory(Path("runs/latest").resolve())
    assert read_checkpoint(run.best)["epoch"] == 0
    assert read_checkpoint(run.last)["epoch"] == 1

    before = rows()
    code, _, err = cifar_train("--ckpt_path=last")
    assert code == 0, err
    assert [row for row in rows() if row["epoch"] in ("0", "1")] == [
        {**dict.fromkeys(rows()[0], ""), **row} for row in before if row["epoch"] in ("0", "1")
    ]
    assert (read_checkpoint(run.best)["epoch"], read_checkpoint(run.last)["epoch"]) == (0, 2)

    code, _, err = cifar_train("--ckpt_path=last")
    assert code == 2, "the test set was evaluated again"
    assert "the run is finished" in err


def test_moved_run_keeps_its_best_checkpoint(cifar_train, small, kill_at, monkeypatch):
    let_the_first_epoch_be_the_best(monkeypatch)
    restore = kill_at(3)
    with pytest.raises(Killed):
        cifar_train(*small, "--trainer.max_epochs=2")
    restore()
    shutil.move("runs", "moved")
    best = RunDirectory(Path("moved/latest").resolve()).best
    content = best.read_bytes()
    code, _, err = cifar_train("--ckpt_path=moved/latest/checkpoints/last.ckpt", "--runs=moved")
    assert code == 0, err
    assert best.read_bytes() == content
    assert not Path("runs").exists()


def test_copied_last_checkpoint_starts_a_run_with_its_own_best(cifar_train, small, monkeypatch):
    let_the_first_epoch_be_the_best(monkeypatch)
    assert cifar_train("fit", *small)[0] == 0
    shutil.copy("runs/latest/checkpoints/last.ckpt", "apart.ckpt")
    code, _, err = cifar_train("fit", *small, "--ckpt_path=apart.ckpt", "--trainer.max_epochs=3")
    assert code == 0, err
    assert read_checkpoint(Path("runs/latest/checkpoints/best.ckpt"))["epoch"] == 2


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--trainer.max_epochs=1"], "trainer.max_epochs is 1, but"),
        (["--trainer.max_steps=3"], "trainer.max_steps is 3, but"),
        (['--model.arguments={"widths": [8, 8, 16]}'], "model.arguments is"),
        (["--model.architecture=resnet9", "--model.arguments={}"], 'model.architecture is "resnet9" instead'),
    ],
)
def test_checkpoint_that_does_not_fit_leaves_its_run_as_it_was(cifar_train, small, arguments, wanted):
    assert cifar_train("fit", *small)[0] == 0
    config = Path("runs/latest/config.yaml").read_text()
    before = rows()
    code, _, err = cifar_train("fit", "--ckpt_path=last", *arguments)
    assert code == 2, err
    assert wanted in err
    assert len(err.strip().splitlines()) == 1, err
    assert Path("runs/latest/config.yaml").read_text() == config
    assert rows() == before


def test_second_process_in_a_run_directory_is_rejected(cifar_train, small):
    assert cifar_train("fit", *small)[0] == 0
    run = RunDirectory(Path("runs/latest").resolve())
    arguments = ("fit", "--ckpt_path=last", "--trainer.max_epochs=3")
    with claim(run):
        (run.checkpoints / ".last.ckpt.0.tmp").touch()
        code, _, err = cifar_train(*arguments)
        assert code == 2
        assert f"another process is training in {run.path}" in err
        assert (run.checkpoints / ".last.ckpt.0.tmp").exists(), "it may be the other's"
    code, _, err = cifar_train(*arguments)
    assert code == 0, err
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("stage", ["training_step", "test_step"])
def test_interruption_ends_with_code_130(cifar_train, small, monkeypatch, stage):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(LitClassifier, stage, interrupted)
    handler = signal.getsignal(signal.SIGINT)
    try:
        code, _, err = cifar_train(*small)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    assert code == 130
    assert err.strip().splitlines()[-1] == "cifar-train: interrupted"


def test_header_has_the_metrics_of_the_best_epoch(cifar_train, small, monkeypatch):
    let_the_first_epoch_be_the_best(monkeypatch)
    assert cifar_train(*small, "--trainer.max_epochs=3", "--trainer.precision=32-true")[0] == 0
    run = RunDirectory(Path("runs/latest").resolve())
    assert read_checkpoint(run.best)["epoch"] < 2
    first = next(row for row in rows() if row["val_accuracy"])
    header = read_header(run.weights).metrics
    assert header["val_accuracy"] == pytest.approx(float(first["val_accuracy"]), abs=1.5 / 100)
    assert header["val_loss"] == pytest.approx(float(first["val_loss"]), rel=1e-4)
    assert read_summary(run.summary).metrics["val_accuracy"] == header["val_accuracy"]


def files(run):
    return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_rates_and_momentum_can_be_changed_when_a_run_is_resumed(cifar_train, small):
    sgd = ["--model.optimizer=torch.optim.SGD", "--model.optimizer.momentum"]
    assert cifar_train("fit", *small, sgd[0], f"{sgd[1]}=0.9", "--model.lr=0.1")[0] == 0
    code, _, err = cifar_train("fit", "--ckpt_path=last", "--model.lr=0.001", f"{sgd[1]}=0.5",
                               "--trainer.max_epochs=3")  # fmt: skip
    assert code == 0, err
    (group,) = read_checkpoint(Path("runs/latest/checkpoints/last.ckpt"))["optimizer_states"][0][
        "param_groups"
    ]
    assert (group["momentum"], group["max_lr"]) == (0.5, 0.001)


@pytest.mark.parametrize(
    "changed",
    ["data.train_limit=150", "seed_everything=1", "data.augmentation.flip=none", "model.optimizer=torch.optim.Adam"],
)  # fmt: skip
def test_setting_that_defines_a_run_is_refused_before_anything_is_written(cifar_train, small, changed):
    assert cifar_train("fit", *small, "--model.optimizer=torch.optim.SGD")[0] == 0
    run = Path("runs/latest").resolve()
    before = files(run)
    code, _, err = cifar_train("fit", "--ckpt_path=last", "--trainer.max_epochs=3", f"--{changed}")
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    assert "cannot be resumed with other settings" in err
    assert files(run) == before


def test_run_cut_short_within_an_epoch_resumes_to_the_same_weights(cifar_train, small, monkeypatch):
    arguments = ["fit", *small, "--data.batch_size=20", "--trainer.accumulate_grad_batches=2"]
    assert cifar_train(*arguments)[0] == 0
    last = Path("runs/latest/checkpoints/last.ckpt")
    whole = read_checkpoint(last)["state_dict"]

    def stop(self, *_):
        self.trainer.should_stop = self.trainer.global_step == 7  # five steps an epoch

    with monkeypatch.context() as patched:
        patched.setattr(LitClassifier, "on_train_batch_end", stop)
        assert cifar_train(*arguments)[0] == 0
    assert read_checkpoint(last)["global_step"] == 7
    code, _, err = cifar_train("fit", "--ckpt_path=last")
    assert code == 0, err
    resumed = read_checkpoint(last)["state_dict"]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_used_directory_is_refused(cifar_train, small, monkeypatch):
    monkeypatch.setenv("CIFAR_TRAIN_RUN", "runs/job")
    assert cifar_train("fit", *small, "--trainer.limit_val_batches=0")[0] == 0
    before = files(Path("runs/job"))
    code, _, err = cifar_train("fit", *small)
    assert code == 2
    assert "has a run already" in err
    assert files(Path("runs/job")) == before


def test_output_that_cannot_be_written_loses_no_work(cifar_train, small, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", type("Full", (), {"write": full, "flush": full, "fileno": full})())
        assert cifar_train(*small)[0] == 0
    assert Path("runs/latest/model.safetensors").is_file()
    assert Path("runs/latest/report/summary.json").is_file()
