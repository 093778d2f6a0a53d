"""A run that is killed, or whose disk is full, loses nothing it had and goes on from there."""

import csv
import errno
from pathlib import Path

import pytest
import torch
from fsspec.implementations.local import LocalFileOpener

from cifar_models import load_weights
from cifar_train.checkpoint import read_checkpoint
from cifar_train.module import LitClassifier


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


def test_killed_in_mid_epoch_a_run_goes_on_to_the_very_same_weights(cifar_train, small, kill_at):
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


def test_a_full_disk_at_a_checkpoint_leaves_the_last_good_one(cifar_train, small, monkeypatch):
    written = LocalFileOpener.write
    full = False

    def write(self, data):
        if full and "last" in str(self.path):
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        return written(self, data)

    validate = LitClassifier.on_train_epoch_end

    def on_train_epoch_end(self):
        nonlocal full
        full = self.current_epoch == 1
        validate(self)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFileOpener, "write", write)
        patched.setattr(LitClassifier, "on_train_epoch_end", on_train_epoch_end)
        code, _, err = cifar_train("fit", *small, "--trainer.max_epochs=3")
    assert code == 2
    assert "No space left" in err
    assert "--ckpt_path" in err
    good = read_checkpoint(Path("runs/latest/checkpoints/last.ckpt"))
    assert good["epoch"] == 0

    code, _, err = cifar_train("fit", "--ckpt_path=runs/latest/checkpoints/last.ckpt")
    assert code == 0, err


def test_a_run_directory_appears_only_with_something_in_it(cifar_train, small):
    code, _, _ = cifar_train("fit", *small, "--data.root=nowhere", "--data.source=auto")
    assert code == 2
    assert list(Path("runs").iterdir()) == []
