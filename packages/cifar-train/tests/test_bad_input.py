import re
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from cifar_models import CIFAR10, create_model, read_header, save_weights

OUT_OF_RANGE = (
    "trainer.max_epochs=0 trainer.check_val_every_n_epoch=0 model.lr=0 model.lr=.inf model.lr=.nan "
    "model.label_smoothing=-0.1 model.micro_batch=0 model.schedule.peak=-0.1 model.schedule.peak=1 "
    "model.schedule.div=0.5 model.schedule.final_div=0 model.low_resolution.until=-0.1 "
    "model.low_resolution.until=1.1 model.low_resolution.size=15"
)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--recipe=fats"], "there is no recipe 'fats'; choose one of best, era, fast, resnet9"),
        (["--trainer.max_epoch=3"], "trainer.max_epochs"),
        (["--model.schedule.peek=0.1"], "model.schedule.peak"),
        (["--model.architecture=resnet8"], "resnet9"),
        (["--data.loader=tensors"], "did you mean tensor"),
        (["--data.batch_size=60000"], "data.batch_size"),
        *(([f"--{field}"], re.sub(r"=\.?", " is ", field)) for field in OUT_OF_RANGE.split()),
        (["--trainer.limit_test_batches=0.5"], "trainer.limit_test_batches is 0.5, but"),
        pytest.param(["--trainer.accelerator=cuda"], "trainer.accelerator: auto",
                     marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")),
        (["--data.val_size=50000"], "data.val_size"),
        (["--config=nowhere.yaml"], "nowhere.yaml"),
        (["--ckpt_path=last"], "runs/latest"),
        (["--ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
        (['--model.arguments={"width": [8, 8, 8]}'], "widths"),
        (["--human.count=x.npy"], "did you mean human.counts?"),
        (["fitt"], "there is no command 'fitt'; did you mean fit?"),
        (["x"], "the commands are run, fit"),
        (["fit", "--report=true"], "there is no field report"),
        (["lr-find", "--human.counts=x"], "there is no field human.counts"),
        (["lr-find", "--range.steps=19"], "range.steps is 19"),
        (["lr-find", "--range.min_lr=0"], "range.min_lr is 0"),
        (["lr-find", "--range.min_lr=2"], "range.min_lr is 2"),
        (["test"], "runs/latest"),
        (["test", "--weights=nowhere.safetensors"], "no weights file nowhere.safetensors; name one with --weights"),
        (["gallery", "--out=x", "--weights=nowhere.safetensors"], "no weights file nowhere.safetensors"),
        (["gallery", "--weights=nowhere.safetensors"], "--out is missing"),
        (["export", "--run=runs/nowhere"], "no run directory runs/nowhere"),
        (["export", "--run", "runs/nowhere"], "no run directory runs/nowhere"),
        (["report", "runs/nowhere"], "no run directory runs/nowhere"),
        (["report", "."], "config.yaml"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_nothing_behind(refuse, arguments, wanted, monkeypatch):
    monkeypatch.setattr("cifar_data.sources.open.open_layout", lambda *_, **__: pytest.fail("data was read"))
    err = refuse(*arguments)
    assert wanted in err
    assert err.count("\n") == 1
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_missing_run_is_answered_with_the_runs_beside_it(refuse, copied_run):
    (copied_run.parent / "photos").mkdir()
    assert refuse("report", "nowhere").endswith("there is no run directory nowhere; name one of .: run\n")


def write_images(*classes, count):
    for split, name, number in product(("train", "test"), classes, range(count)):
        path = Path("own", split, name, f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 50 + number).convert("RGB").save(path)


def test_own_classes_set_their_number_and_a_fitting_validation_split(succeed, small):
    write_images("cat", "dog", count=60)
    arguments = [option for option in small if not re.match("--data.(val_size|source|train_limit)", option)]
    _, err = succeed("fit", *arguments, "--data.root=own", "--data.batch_size=20")
    assert "model.arguments.num_classes is 2 and data.val_size is 12, a tenth of the 120" in err
    run = Path("runs/latest")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["arguments"] == {"widths": [8, 8, 8], "num_classes": 2}
    assert config["data"]["val_size"] == 12
    fitted = read_header(run / "model.safetensors")
    assert fitted.spec.classes == ("cat", "dog")

    _, err = succeed("fit", f"--config={run / 'config.yaml'}")
    assert "to fit the data" not in err
    assert read_header(run / "model.safetensors").metrics == fitted.metrics


@pytest.mark.parametrize(
    ("classes", "arguments", "wanted"),
    [
        ("", "", ["--data.root", "CIFAR_DATA_DIR", "--data.source synthetic"]),
        # The recipe's val_size, but asked for.
        ("cat dog", "--model.arguments.num_classes=3 --data.val_size=2000 --model.optimizer=torch.optim.LBFGS",
         ["num_classes to 2", "data.val_size must be a whole number from 0 to 5", "optimizer is LBFGS"]),
        ("cat big\u202edog", "--data.val_size=2 --data.batch_size=4", ["printable"]),
    ],
)  # fmt: skip
def test_all_that_does_not_fit_the_data_is_in_one_message(refuse, classes, arguments, wanted):
    write_images(*classes.split(), count=3)
    err = refuse("--data.root=own", *arguments.split())
    assert [words for words in wanted if words not in err] == []
    assert not any(Path("runs").iterdir())


@pytest.mark.parametrize("order", [1, -1])
def test_report_starts_from_the_settings_of_the_named_run(succeed, copied_run, monkeypatch, order):
    seen = []
    monkeypatch.setattr("cifar_train.cli.evaluate.write_results", lambda *args, **_: seen.append(args))
    succeed("report", *[str(copied_run), "--data.eval_batch_size=50"][::order])
    ((run, data),) = seen
    assert run.path == copied_run
    assert (data.val_size, data.train_limit, data.augmentation.flip) == (100, 200, "alternate")
    assert (data.eval_batch_size, data.source) == (50, "synthetic")


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/best.ckpt", "metrics.csv", "config.yaml"])
def test_file_that_is_no_weights_or_checkpoint_is_named_and_not_executed(refuse, copied_run, name):
    path = copied_run / name
    if path.suffix in (".safetensors", ".ckpt"):
        path.write_bytes(b"cos\nmkdir\n(Vexploded\ntR.")  # a pickle that calls os.mkdir("exploded")
    if path.suffix == ".safetensors":
        assert str(path) in refuse("test", f"--weights={path}", "--data.source=synthetic")
    else:
        arguments = ("--recipe=fast", "--data.source=synthetic", "--data.val_size=100")
        assert f"{path} is not a checkpoint that can be" in refuse("fit", f"--ckpt_path={path}", *arguments)
    assert not Path("exploded").exists()


def test_weights_of_other_classes_are_rejected(refuse):
    arguments = {"widths": [8, 8, 8]}
    model = create_model("whitenet", **arguments)
    save_weights(Path("other.safetensors"), model, architecture="whitenet", arguments=arguments, spec=CIFAR10)
    assert "airplane" in refuse("test", "--weights=other.safetensors", "--data.source=synthetic")


def test_messages_of_training_and_lightning_name_the_option(refuse, small):
    err = refuse("fit", *small, "--model.optimizer=torch.optim.SGD", "--model.lr=1e30")
    assert "in epoch 1; lower model.lr" in err
    assert "accelerator" not in refuse("fit", *small, "--trainer.limit_train_batches=1.5")
