import os
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--recipe=fats"], "best, era, fast, resnet9"),
        (["--trainer.max_epoch=3"], "trainer.max_epochs"),
        (["--model.schedule.peek=0.1"], "model.schedule.peak"),
        (["--model.architecture=resnet8"], "resnet9"),
        (["--data.loader=tensors"], "did you mean tensor"),
        (["--data.source=parket"], "parquet"),
        (["--data.batch_size=60000"], "data.batch_size"),
        (["--trainer.max_epochs=0"], "trainer.max_epochs is 0"),
        (["--model.lr=-0.1"], "model.lr is -0.1"),
        (["--model.lr=nan"], "model.lr"),
        (["--model.label_smoothing=1"], "model.label_smoothing"),
        (["--model.schedule.div=0"], "model.schedule.div"),
        pytest.param(
            ["--trainer.accelerator=cuda"],
            "trainer.accelerator: auto",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (["--data.val_size=50000"], "data.val_size"),
        (["--data.val_size=x"], "data.val_size"),
        (["--config=nowhere.yaml"], "nowhere.yaml"),
        (["--ckpt_path=last"], "runs/latest"),
        (["--ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
        (['--model.arguments={"width": [8, 8, 8]}'], "widths"),
        (["fitt"], "fit"),
        (["test"], "runs/latest"),
        (["test", "--weights=nowhere.safetensors"], "nowhere.safetensors"),
        (["export", "--run=runs/nowhere"], "runs/nowhere"),
        (["lr-find", "--range.steps=2"], "range.steps"),
    ],
)
def test_errors_are_one_line_and_leave_nothing_behind(cifar_train, arguments, wanted, monkeypatch):
    from cifar_data.sources import open as sources

    monkeypatch.setattr(sources, "open_layout", lambda *_, **__: pytest.fail("data was read"), raising=True)
    code, out, err = cifar_train(*arguments)
    assert code == 2
    assert wanted in err
    assert len(err.strip().splitlines()) == 1, err
    assert out == ""
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_all_that_does_not_fit_own_images_is_in_one_message(cifar_train, tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "own" / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (32, 32), (number, 0, 0)).save(
                    tmp_path / "own" / split / name / f"{number}.png"
                )
    code, out, err = cifar_train("--data.source=folder", f"--data.root={tmp_path / 'own'}")
    assert (code, out) == (2, "")
    for wanted in ("model.arguments.num_classes to 2", "data.val_size must be a whole number from 0 to 5"):
        assert wanted in err
    assert not any(Path("runs").iterdir())


def test_class_name_that_no_weights_file_can_hold_is_rejected_before_the_training(cifar_train, tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "big\u00a0dog"):
            (tmp_path / "own" / split / name).mkdir(parents=True)
            for number in range(8):
                picture = Image.effect_noise((32, 32), 50 + number).convert("RGB")
                picture.save(tmp_path / "own" / split / name / f"{number}.png")
    code, _, err = cifar_train(
        "--data.source=folder", f"--data.root={tmp_path / 'own'}", "--data.val_size=4", "--data.batch_size=4",
        "--model.arguments.num_classes=2",
    )  # fmt: skip
    assert code == 2
    assert "printable" in err
    assert not any(Path("runs").iterdir())


def test_lightnings_error_about_a_limit_does_not_mention_hardware(cifar_train, small):
    code, _, err = cifar_train(*small, "--trainer.limit_train_batches=1.5")
    assert code == 2
    assert "1.5" in err
    assert "accelerator" not in err


@pytest.mark.parametrize("name", ["metrics.csv", "config.yaml"])
def test_file_that_is_no_checkpoint_is_named(cifar_train, small, name):
    assert cifar_train("fit", *small)[0] == 0
    code, _, err = cifar_train(*small, f"--ckpt_path=runs/latest/{name}")
    assert code == 2
    assert f"{name} is not a checkpoint that can be read safely" in err


@pytest.mark.parametrize("order", [1, -1])
def test_report_starts_from_the_settings_of_the_named_run(cifar_train, small, monkeypatch, order):
    from cifar_data import CIFAR10DataModule
    from cifar_train.cli import evaluate as commands
    from cifar_train.report.analysis import HumanFiles

    seen = []

    def report(data: CIFAR10DataModule, *, run: Path, human: HumanFiles):
        """Stands for the command.

        Args:
            data: The data.
            run: The run.
            human: Nothing.
        """
        seen.append({"data": data, "run": run})

    monkeypatch.setattr(commands, "report", report)
    assert cifar_train("fit", *small, "--data.val_size=40")[0] == 0
    named = Path("runs/latest").resolve()
    assert cifar_train("fit", *small)[0] == 0
    assert Path("runs/latest").resolve() != named
    code, _, err = cifar_train("report", *[str(named), "--data.eval_batch_size=50"][::order])
    assert code == 0, err
    (given,) = seen
    assert given["run"] == named
    assert (given["data"].val_size, given["data"].eval_batch_size) == (40, 50)


def test_missing_data_names_the_ways_to_provide_it(cifar_train, tmp_path):
    code, _, err = cifar_train("--data.root", str(tmp_path / "nowhere"))
    assert code == 2
    for way in ("--data.root", "CIFAR_DATA_DIR", "--data.source synthetic"):
        assert way in err
    assert not any(Path("runs").iterdir())


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_pickle_named_safetensors_is_rejected_and_not_executed(cifar_train):
    Path("model.safetensors").write_bytes(pickle.dumps(Bomb()))
    code, _, err = cifar_train("test", "--weights=model.safetensors", "--data.source=synthetic")
    assert code == 2
    assert "model.safetensors" in err
    assert not Path("exploded").exists()


def test_hostile_checkpoint_is_rejected_and_not_executed(cifar_train, small):
    assert cifar_train("fit", *small)[0] == 0
    Path("runs/latest/checkpoints/best.ckpt").write_bytes(pickle.dumps(Bomb()))
    code, _, err = cifar_train("export")
    assert code == 2
    assert "best.ckpt" in err
    assert not Path("exploded").exists()


def test_weights_of_other_classes_are_rejected(cifar_train, small):
    from cifar_models import CIFAR10, create_model, save_weights

    model = create_model("whitenet", widths=[8, 8, 8])
    save_weights(
        Path("other.safetensors"),
        model,
        architecture="whitenet",
        arguments={"widths": [8, 8, 8]},
        spec=CIFAR10,
    )
    code, _, err = cifar_train("test", "--weights=other.safetensors", "--data.source=synthetic")
    assert code == 2
    assert "airplane" in err


def test_diverging_run_stops_and_names_the_learning_rate(cifar_train, small):
    code, _, err = cifar_train("fit", *small, "--model.optimizer=torch.optim.SGD", "--model.lr=1e30")
    assert code == 2
    assert "model.lr" in err
