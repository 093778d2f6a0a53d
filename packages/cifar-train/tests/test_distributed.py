"""Two processes reach what one reaches with twice the batch."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def final_loss(directory, small, *arguments):
    directory.mkdir()
    command = [
        sys.executable, "-m", "cifar_train", *small, "--data.train_limit=2000", "--data.val_size=500",
        '--model.arguments={"widths": [8, 16, 16]}', "--trainer.max_epochs=4", "--trainer.accumulate_grad_batches=1",
        "--trainer.accelerator=cpu", "--model.optimizer=torch.optim.Adam", "--model.lr=0.003", "--report=false",
        *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=directory, timeout=500, check=True)
    # A run directory of all processes.
    (summary,) = (directory / "runs").glob("fast-*/report/summary.json")
    return json.loads(summary.read_text())["metrics"]["val_loss"]


def test_two_processes_reach_the_loss_of_one_with_twice_the_batch(tmp_path, small):
    one = final_loss(tmp_path / "one", small, "--data.batch_size=100", "--trainer.devices=1")
    processes = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    two = final_loss(tmp_path / "two", small, "--data.batch_size=50", *processes)
    # Both step on the same 100 images each time; but each process normalises its own half of them, and the first
    # one's running statistics are evaluated. So the two are close and not equal.
    assert two == pytest.approx(one, rel=0.1)


SCRIPT = """
import json, lightning as L, torch
from cifar_train import LitClassifier

model = LitClassifier(architecture="whitenet", arguments={"widths": [8, 8, 8]}, lr=1e-9)
model.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
torch.nn.init.zeros_(model.net[1].weight)
model.net[1].bias.data = torch.tensor([1.0, -1.0])  # class 0, whatever the image
data = torch.utils.data.TensorDataset(torch.zeros(2, 3, 1, 1), torch.tensor([0, 1]))  # an image for each process
trainer = L.Trainer(
    max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(model, torch.utils.data.DataLoader(data))
if trainer.is_global_zero:
    print(json.dumps({name: float(value) for name, value in trainer.callback_metrics.items()}))
"""


def test_training_metrics_are_the_mean_over_all_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    printed = subprocess.check_output([sys.executable, "-W", "ignore", script], text=True, timeout=300)
    metrics = json.loads(printed.splitlines()[-1])
    assert metrics["train_accuracy"] == 0.5
    # log(1 + exp(-2)) in one process, and 2 more in the other.
    assert metrics["train_loss_epoch"] == pytest.approx(1.1269, abs=1e-3)
