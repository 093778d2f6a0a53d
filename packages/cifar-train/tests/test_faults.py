"""A run that is killed, or whose disk is full, keeps what it has and is resumed from there."""

import contextlib
import csv
import errno
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from unittest import mock

import pytest
import torch

from cifar_models import load_weights, read_header
from cifar_train.runs.checkpoint import read_checkpoint, restore_model
from cifar_train.runs.directory import RunDirectory, claim, create_run
from cifar_train.runs.export import weights_are_current
from cifar_train.runs.summary import read_summary
from cifar_train.training.module import LitClassifier


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it and tidy up."""


@contextlib.contextmanager
def killed_at(step):
    """Kill the training in the block at a step."""

    def on_train_batch_start(self, *_):
        if self.trainer.global_step == step:
            raise Killed

    hook = mock.patch.object(LitClassifier, "on_train_batch_start", on_train_batch_start)
    with hook, pytest.raises(Killed):
        yield


def cut_short_at(step):
    """End the training in the block after a step, as a limit of steps or time does."""

    def on_train_batch_end(self, *_):
        self.trainer.should_stop = self.trainer.global_step == step

    return mock.patch.object(LitClassifier, "on_train_batch_end", on_train_batch_end)


def make_best(monkeypatch, step):
    """Make the checkpoint after a step the best one: at all others no image is classified right."""
    log_metrics = LitClassifier._log_metrics

    def log_worse(self, stage, logits, labels):
        if stage == "val" and self.trainer.global_step != step:
            logits = -torch.nn.functional.one_hot(labels, logits.shape[1]).float()
        log_metrics(self, stage, logits, labels)

    monkeypatch.setattr(LitClassifier, "_log_metrics", log_worse)


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def latest():
    return RunDirectory(Path("runs/latest").resolve())


def rows(run):
    with run.metrics.open(newline="") as file:
        return list(csv.DictReader(file))


def files(run):
    return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def assert_same(weights, expected):
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)


def curves():
    names = ("epoch", "step", "train_loss_step", "val_loss")
    return [values for row in rows(latest()) if any((values := [row[name] for name in names])[2:])]


LOADERS = "", "--trainer.overfit_batches=10", "--data.loader=albumentations --data.num_workers=2"


# Of five steps an epoch: at an epoch's end, and in its middle, before a validation within it.
@pytest.mark.parametrize(
    ("stopped", "step", "options"), [(killed_at, 7, ""), *product([cut_short_at], [5, 7], LOADERS)]
)
def test_run_that_ends_early_resumes_to_the_same_weights_and_curves(succeed, small, stopped, step, options):
    arguments = ["fit", *small, *options.split(), "--data.batch_size=20", "--trainer.val_check_interval=0.5"]
    succeed(*arguments)
    weights, whole = read_checkpoint(latest().last)["state_dict"], curves()
    with stopped(step):
        succeed(*arguments)
    run = latest().path
    # A killed run has its last epoch's checkpoint, and logged steps after that.
    assert read_checkpoint(latest().last)["global_step"] == (step if stopped is cut_short_at else 5)
    assert max(int(values[1]) for values in curves()) == step - 1
    succeed("fit", "--ckpt_path=last")
    assert latest().path == run
    assert_same(read_checkpoint(latest().last)["state_dict"], weights)
    assert curves() == whole


def test_best_checkpoint_within_an_epoch_resumes_to_the_same_weights_and_steps(succeed, small, monkeypatch):
    make_best(monkeypatch, 3)
    succeed("fit", *small, "--trainer.val_check_interval=0.5")
    assert read_checkpoint(latest().best)["global_step"] == 3
    weights, whole = read_checkpoint(latest().last)["state_dict"], [row[:3] for row in curves() if row[2]]
    succeed("fit", "--ckpt_path=best")
    assert_same(read_checkpoint(latest().last)["state_dict"], weights)
    assert [row[:3] for row in curves() if row[2]] == whole


def test_run_of_an_earlier_version_is_resumed(succeed, small):
    succeed("fit", *small, "--model.tta=none")
    config, former = latest().config, latest().config.read_text()
    renamed = {"cifar_train.Muon\n": "cifar_train.muon.Muon\n", "tta: none": "test_views: plain"}
    for now, before in renamed.items():
        assert now in former
        former = former.replace(now, before)
    for path in (config, Path("former.yaml")):
        path.write_text(former)
    succeed("fit", "--ckpt_path=last", "--trainer.max_epochs=3")
    assert "tta: none" in config.read_text()
    succeed("fit", "--config=former.yaml", "--trainer.max_epochs=1")


def test_full_disk_at_a_checkpoint_leaves_the_previous_one(refuse, succeed, small, monkeypatch):
    flush = os.fsync

    def fill_disk(self):
        full = self.current_epoch == 1
        patched.setattr("cifar_models.atomic.os.fsync", mock.Mock(side_effect=NO_SPACE) if full else flush)

    with monkeypatch.context() as patched:
        patched.setattr(LitClassifier, "on_train_epoch_end", fill_disk)
        err = refuse("fit", *small, "--trainer.max_epochs=3")
    assert "No space left" in err
    assert f"--ckpt_path {latest().last.relative_to(Path.cwd())}" in err
    assert read_checkpoint(latest().last)["epoch"] == 0
    assert set(latest().checkpoints.iterdir()) == {latest().best, latest().last}
    succeed("fit", f"--ckpt_path={latest().last}")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_finished_run_that_is_resumed_and_killed_is_reported_anew(succeed, small, monkeypatch, dtype):
    reported, function = [], "cifar_train.cli.evaluate.write_results"
    monkeypatch.setattr(function, lambda *_, **given: reported.append(given["summary"]))
    # Without a validation split each epoch's checkpoint is the best one.
    succeed(*small, "--report=false", "--data.val_size=0")
    run = latest()
    succeed("export", f"--out={run.weights}", f"--dtype={dtype}")
    finished = run.weights.read_bytes()
    assert weights_are_current(run)
    succeed("report")
    assert run.weights.read_bytes() == finished, "a file of the best checkpoint stays as it is"
    assert reported.pop() == read_summary(run.summary)
    with killed_at(7):
        succeed("--ckpt_path=last", "--trainer.max_epochs=4")
    assert run.weights.read_bytes() == finished
    assert not weights_are_current(run)
    # Metrics of other weights are not passed on.
    succeed("export", "--out=apart.safetensors")
    assert set(read_header(Path("apart.safetensors")).metrics) == {"data_fingerprint"}
    _, err = succeed("report")
    assert "model.safetensors of the best checkpoint" in err
    written = load_weights(run.weights)
    assert written.dtype == dtype
    assert "test_accuracy" not in written.metrics
    expected = restore_model(read_checkpoint(run.best))[0].state_dict()
    torch.testing.assert_close(written.model.state_dict(), expected, rtol=1e-3, atol=1e-6)
    (summary,) = reported
    assert (summary.epochs, summary.steps, summary.wall_seconds) == (3, 6, None)
    assert "test_accuracy" not in summary.metrics


def test_moved_run_keeps_its_best_checkpoint_for_the_weights_and_a_copied_last_one_has_its_own(
    succeed, refuse, small, monkeypatch
):
    make_best(monkeypatch, 2)
    arguments = [*small, "--trainer.max_epochs=3", "--trainer.precision=32-true"]
    with killed_at(5):
        succeed(*arguments, "--report=false")
    shutil.move("runs", "moved")
    run = RunDirectory(Path("moved/latest").resolve())
    best = run.best.read_bytes()
    assert (read_checkpoint(run.best)["epoch"], read_checkpoint(run.last)["epoch"]) == (0, 1)
    shutil.copy(run.last, "apart.ckpt")
    succeed(f"--ckpt_path={run.last}", "--runs=moved")
    assert (run.best.read_bytes(), read_checkpoint(run.last)["epoch"]) == (best, 2)
    first = next(row for row in rows(run) if row["val_accuracy"])
    header = read_header(run.weights).metrics
    assert header["val_accuracy"] == pytest.approx(float(first["val_accuracy"]), abs=1.5 / 100)
    assert header["val_loss"] == pytest.approx(float(first["val_loss"]), rel=1e-4)
    assert read_summary(run.summary).metrics["val_accuracy"] == header["val_accuracy"]
    tested = run.summary.read_bytes()
    assert "the run is finished" in refuse(f"--ckpt_path={run.last}"), "the test set would be evaluated again"
    assert run.summary.read_bytes() == tested
    assert not Path("runs").exists()
    succeed("fit", *arguments, "--ckpt_path=apart.ckpt")
    assert read_checkpoint(latest().best)["epoch"] == 2


def test_rates_and_momentum_can_be_changed_when_a_run_is_resumed(succeed, small):
    momentum = "--model.optimizer.momentum"
    succeed("fit", *small, "--model.optimizer=torch.optim.SGD", f"{momentum}=0.9", "--model.lr=0.1")
    succeed("fit", "--ckpt_path=last", "--model.lr=0.001", f"{momentum}=0.5", "--trainer.max_epochs=3")
    (group,) = read_checkpoint(latest().last)["optimizer_states"][0]["param_groups"]
    assert (group["momentum"], group["max_lr"]) == (0.5, 0.001)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("--trainer.max_epochs=1", "trainer.max_epochs is 1, but"),
        ("--trainer.max_steps=3", "trainer.max_steps is 3, but"),
        ('--model.arguments={"widths":[8,8,16]}', "model.arguments is"),
        ("--model.architecture=resnet9 --model.arguments={}", 'model.architecture is "resnet9" instead'),
        ("--data.train_limit=150", "data.train_limit is 150 instead of 200"),
        ("--seed_everything=1", "seed_everything is 1"),
        ("--data.augmentation.flip=none", "data.augmentation is"),
        ("--model.optimizer=torch.optim.Adam", 'model.optimizer.momentum is "0" instead of "above 0"'),
        ("--model.optimizer=torch.optim.RMSprop --model.optimizer.centered=true", 'is "RMSprop centered"'),
        ("--trainer.enable_checkpointing=false", "trainer.enable_checkpointing is false"),
        ("--trainer.callbacks=lightning.pytorch.callbacks.EMAWeightAveraging", 'is ["EMAWeightAveraging"]'),
        # Which Lightning itself refuses, once it has opened its loggers.
        ("--trainer.val_check_interval=100", "`val_check_interval` (100)"),
    ],
)
def test_resumption_that_does_not_fit_leaves_the_run_as_it_was(refuse, copied_run, arguments, wanted):
    before = files(copied_run)
    last = copied_run / "checkpoints" / "last.ckpt"
    assert wanted in refuse("fit", f"--ckpt_path={last}", "--trainer.max_epochs=3", *arguments.split())
    assert files(copied_run) == before


def test_checkpoint_between_two_optimizer_steps_is_refused_with_the_one_to_resume(succeed, refuse, small):
    # Four batches an epoch, a step after every second.
    succeed("fit", *small, "--trainer.max_epochs=1", "--trainer.val_check_interval=3")
    err = refuse("fit", "--ckpt_path=best", "--trainer.max_epochs=2")
    assert "best.ckpt was saved after batch 3 of an epoch, between two optimizer steps" in err
    assert err.endswith(f"; resume {latest().last}\n")
    succeed("fit", "--ckpt_path=last", "--trainer.max_epochs=2")


def test_claimed_and_used_directories_are_refused_and_half_a_checkpoint_named(
    refuse, succeed, copied_run, small, monkeypatch
):
    run = RunDirectory(copied_run)
    arguments = ("fit", f"--ckpt_path={run.last}", "--trainer.max_epochs=3")
    stale = run.checkpoints / ".last.ckpt.0.tmp"
    with claim(run):
        stale.touch()
        assert f"another process is training in {run.path}" in refuse(*arguments)
        assert stale.exists(), "it may be the other's"
    succeed(*arguments)
    assert set(run.checkpoints.iterdir()) == {run.best, run.last}
    os.truncate(run.last, run.last.stat().st_size // 2)
    before, err = files(run.path), refuse(*arguments)
    assert f"{run.last} is not a checkpoint that can be read safely" in err
    assert err.endswith(f"; resume {run.best}\n")
    monkeypatch.setenv("CIFAR_TRAIN_RUN", str(run.path))
    assert "has a run already" in refuse("fit", *small)
    assert files(run.path) == before


def test_runs_of_one_second_get_directories_of_their_own(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: create_run(tmp_path, "fast").path, range(16)))
    assert sorted(made) == sorted(tmp_path.iterdir())  # so none is made twice


def test_file_system_without_locks_is_named_with_the_way_out(refuse, small, monkeypatch):
    for error in (OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")):
        monkeypatch.setattr("filelock.FileLock.acquire", mock.Mock(side_effect=error))
        assert re.search("cannot be locked .*--runs", refuse("fit", *small))
        assert not any(Path("runs").iterdir())


def test_run_is_found_by_its_path_where_links_are_not_allowed(succeed, small, monkeypatch):
    error = PermissionError(errno.EPERM, "A required privilege is not held by the client")
    monkeypatch.setattr(Path, "symlink_to", mock.Mock(side_effect=error))
    out, err = succeed("fit", *small)
    (run,) = Path("runs").iterdir()
    assert f"runs/latest is not this run (A required privilege is not held by the client); name {run}" in err
    assert f"cifar-train report {run}\n" in out
    assert (run / "model.safetensors").is_file()


@pytest.mark.parametrize("stage", ["training_step", "test_step"])
def test_interruption_ends_with_code_130(cifar_train, small, monkeypatch, stage):
    monkeypatch.setattr(LitClassifier, stage, lambda *_: mock.Mock(side_effect=KeyboardInterrupt)())
    monkeypatch.setattr("signal.signal", lambda *_: None)  # or Lightning would ignore further ones
    code, _, err = cifar_train(*small)
    assert code == 130
    assert err.endswith("\ncifar-train: interrupted\n")


def test_run_without_validation_has_the_last_weights_and_one_without_checkpoints_none(succeed, small):
    succeed("fit", *small, "--trainer.max_steps=3", "--trainer.check_val_every_n_epoch=2")
    assert not latest().best.exists()
    assert read_checkpoint(latest().last)["epoch"] == 1
    assert weights_are_current(latest())
    _, err = succeed("fit", *small, "--trainer.enable_checkpointing=false")
    assert "no weights file, since" in err
    assert not latest().weights.exists()


def test_output_that_cannot_be_written_loses_no_work(cifar_train, small, monkeypatch):
    full = dict.fromkeys(("write", "flush", "fileno"), mock.Mock(side_effect=NO_SPACE))
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", type("Full", (), full)())
        assert cifar_train(*small, "--report=false")[0] == 0
    assert latest().weights.is_file()
    assert latest().summary.is_file()
