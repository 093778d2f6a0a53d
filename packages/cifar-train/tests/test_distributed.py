"""Two processes reach what one reaches with twice the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def final_loss(directory, *arguments):
    command = [
        sys.executable, "-m", "cifar_train", "--data.source=synthetic", "--data.train_limit=2000",
        "--data.val_size=500", "--model.architecture=whitenet", '--model.arguments={"widths": [8, 16, 16]}',
        "--trainer.max_epochs=4", "--trainer.accumulate_grad_batches=1", "--trainer.log_every_n_steps=1",
        "--trainer.accelerator=cpu", "--model.optimizer=torch.optim.Adam", "--model.lr=0.003",
        "--report=false", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runs = [path for path in Path(directory, "runs").iterdir() if not path.is_symlink()]
    assert len(runs) == 1, "each process made a run directory of its own"
    return json.loads((runs[0] / "report/summary.json").read_text())["metrics"]


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one_with_twice_the_batch(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = final_loss(tmp_path / "one", "--data.batch_size=100", "--trainer.devices=1")
    two = final_loss(
        tmp_path / "two", "--data.batch_size=50", "--trainer.devices=2", "--trainer.strategy=ddp"
    )
    # Both step on the same 100 images each time; but each process normalises its own half of them, and the first
    # one's running statistics are evaluated. So the two are close and not equal.
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=0.1)
