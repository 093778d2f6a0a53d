import os
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from cifar_models import CIFAR10, create_model, read_header, save_weights
from cifar_train.cli import evaluate as commands


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--recipe=fats"], "there is no recipe 'fats'; choose one of best, era, fast, resnet9"),
        (["--trainer.max_epoch=3"], "trainer.max_epochs"),
        (["--model.schedule.peek=0.1"], "model.schedule.peak"),
        (["--model.architecture=resnet8"], "resnet9"),
        (["--data.loader=tensors"], "did you mean tensor"),
        (["--data.source=parket"], "parquet"),
        (["--data.batch_size=60000"], "data.batch_size"),
        (["--trainer.max_epochs=0"], "trainer.max_epochs is 0"),
        (["--model.lr=-0.1"], "model.lr is -0.1"),
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
        (["fitt"], "there is no command 'fitt'; did you mean fit?"),
        (["x"], "the commands are run, fit"),
        (["fit", "--report=true"], "there is no field report"),
        (["lr-find", "--human.counts=x"], "there is no field human.counts"),
        (["lr-find", "--range.steps=2"], "range.steps"),
        (["test"], "runs/latest"),
        (["test", "--weights=nowhere.safetensors"], "no weights file nowhere.safetensors; name one with --weights"),
        (["gallery", "--out=x", "--weights=nowhere.safetensors"], "no weights file nowhere.safetensors"),
        (["export", "--run=runs/nowhere"], "no run directory runs/nowhere"),
        (["export", "--run", "runs/nowhere"], "no run directory runs/nowhere"),
        (["report", "runs/nowhere"], "no run directory runs/nowhere"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_nothing_behind(refuse, arguments, wanted, monkeypatch):
    monkeypatch.setattr("cifar_data.sources.open.open_layout", lambda *_, **__: pytest.fail("data was read"))
    assert wanted in refuse(*arguments)
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


@pytest.fixture
def own(tmp_path):
    """Write images of two classes, and return the arguments that name them."""

    def write(*classes, images):
        for split in ("train", "test"):
            for name in classes:
                (tmp_path / "own" / split / name).mkdir(parents=True)
                for number in range(images):
                    picture = Image.effect_noise((32, 32), 50 + number).convert("RGB")
                    picture.save(tmp_path / "own" / split / name / f"{number}.png")
        return ["--data.source=folder", f"--data.root={tmp_path / 'own'}"]

    return write


def test_own_classes_set_their_number_and_a_fitting_validation_split(succeed, own, small):
    arguments = [
        a for a in small if not a.startswith(("--data.val_size", "--data.source", "--data.train_limit"))
    ]
    _, err = succeed("fit", *arguments, *own("cat", "dog", images=60), "--data.batch_size=20")
    assert (
        "model.arguments.num_classes is 2 and data.val_size is 12, a tenth of the 120 training images" in err
    )
    run = Path("runs/latest")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["arguments"] == {"widths": [8, 8, 8], "num_classes": 2}
    assert config["data"]["val_size"] == 12
    fitted = read_header(run / "model.safetensors")
    assert fitted.spec.classes == ("cat", "dog")

    _, err = succeed("fit", f"--config={run / 'config.yaml'}")
    assert "to fit the data" not in err
    assert read_header(run / "model.safetensors").metrics == fitted.metrics


def test_all_that_does_not_fit_own_images_is_in_one_message(cifar_train, own):
    given = ["--model.arguments.num_classes=3", "--data.val_size=2000"]  # the recipe's, but said
    code, _, err = cifar_train(*own("cat", "dog", images=3), *given, "--model.optimizer=torch.optim.LBFGS")
    assert code == 2
    for wanted in (
        "num_classes to 2",
        "data.val_size must be a whole number from 0 to 5",
        "optimizer is LBFGS",
    ):
        assert wanted in err
    assert not any(Path("runs").iterdir())


def test_class_name_that_no_weights_file_can_hold_is_rejected_before_the_training(cifar_train, own):
    arguments = [*own("cat", "big\u202edog", images=8), "--data.val_size=4", "--data.batch_size=4"]
    code, _, err = cifar_train(*arguments)
    assert code == 2
    assert "printable" in err
    assert not any(Path("runs").iterdir())


def test_lightnings_error_about_a_limit_does_not_mention_hardware(refuse, small):
    assert "accelerator" not in refuse("fit", *small, "--trainer.limit_train_batches=1.5")


@pytest.mark.parametrize("order", [1, -1])
def test_report_starts_from_the_settings_of_the_named_run(succeed, copied_run, monkeypatch, order):
    seen = []
    monkeypatch.setattr(commands, "write_results", lambda run, data, **_: seen.append((run.path, data)))
    succeed("report", *[str(copied_run), "--data.eval_batch_size=50"][::order])
    ((path, data),) = seen
    assert path == copied_run
    assert (data.val_size, data.train_limit, data.augmentation.flip) == (100, 200, "alternate")
    assert (data.eval_batch_size, data.source) == (50, "synthetic")


def test_missing_data_names_the_ways_to_provide_it(cifar_train, tmp_path):
    code, _, err = cifar_train("--data.root", str(tmp_path / "nowhere"))
    assert code == 2
    for way in ("--data.root", "CIFAR_DATA_DIR", "--data.source synthetic"):
        assert way in err
    assert not any(Path("runs").iterdir())


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/best.ckpt", "metrics.csv", "config.yaml"])
def test_file_that_is_no_weights_or_checkpoint_is_named_and_not_executed(refuse, copied_run, name):
    if "/" in name or name.startswith("model"):
        (copied_run / name).write_bytes(pickle.dumps(Bomb()))
    path = copied_run / name
    if name.startswith("model"):
        err = refuse("test", f"--weights={path}", "--data.source=synthetic")
    else:
        err = refuse(
            "fit", f"--ckpt_path={path}", "--recipe=fast", "--data.source=synthetic", "--data.val_size=100"
        )
        assert "is not a checkpoint that can be read safely" in err
    assert str(path) in err
    assert not Path("exploded").exists()


def test_weights_of_other_classes_are_rejected(refuse):
    arguments = {"widths": [8, 8, 8]}
    model = create_model("whitenet", **arguments)
    save_weights(Path("other.safetensors"), model, architecture="whitenet", arguments=arguments, spec=CIFAR10)
    assert "airplane" in refuse("test", "--weights=other.safetensors", "--data.source=synthetic")


def test_diverging_run_stops_and_names_the_learning_rate(cifar_train, small):
    code, _, err = cifar_train("fit", *small, "--model.optimizer=torch.optim.SGD", "--model.lr=1e30")
    assert code == 2
    assert "in epoch 1; lower model.lr" in err
