import importlib.util
import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from cifar_data import make_synthetic
from cifar_models import load_weights, read_header
from cifar_train.runs.summary import read_summary


def test_run_writes_everything_into_its_directory(cifar_train, small):
    code, out, err = cifar_train(*small)
    assert code == 0, err
    run = Path("runs/latest")
    assert run.resolve().name.startswith("fast-")
    for name in (
        "config.yaml",
        "metrics.csv",
        "model.safetensors",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "report/summary.json",
    ):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert "test accuracy" in out
    assert "with TTA (flip)" in out
    assert "images/s" in err


def test_summary_has_the_accuracy_of_the_weights_file(cifar_train, small):
    assert cifar_train(*small)[0] == 0
    weights = load_weights(Path("runs/latest/model.safetensors"))
    test = make_synthetic().test
    images = weights.spec.normalize(test.images)
    with torch.inference_mode():
        logits = weights.model(images)
        both = logits + weights.model(images.flip(3))
    labels = torch.from_numpy(test.labels)
    metrics = read_summary(Path("runs/latest/report/summary.json")).metrics
    # The trainer uses other batch sizes; a near tie may fall either way.
    for name, expected in (("test_accuracy", logits), ("test_accuracy_flip", both)):
        accuracy = (expected.argmax(1) == labels).float().mean().item()
        assert metrics[name] == pytest.approx(accuracy, abs=1.5 / len(labels))
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert weights.metrics["test_accuracy"] == metrics["test_accuracy"]

    code, out, err = cifar_train("test", "--data.source=synthetic")
    assert code == 0, err
    assert f"{metrics['test_accuracy']:.2%}".replace("%", " %") in out


def test_weights_file_has_the_recipe_without_paths(cifar_train, small, tmp_path):
    assert cifar_train("fit", *small, f"--data.cache_dir={tmp_path}/decoded")[0] == 0
    header = read_header(Path("runs/latest/model.safetensors"))
    assert header.recipe["model"]["architecture"] == "whitenet"
    assert header.recipe["trainer"]["max_epochs"] == 2
    assert header.metrics["data_fingerprint"] == make_synthetic().fingerprint
    assert str(tmp_path) not in json.dumps(header.recipe)


def test_fit_does_not_evaluate_the_test_set(cifar_train, small, monkeypatch):
    from cifar_data import CIFAR10DataModule

    monkeypatch.setattr(
        CIFAR10DataModule, "test_dataloader", lambda self: pytest.fail("the test set was evaluated")
    )
    code, _, err = cifar_train("fit", *small)
    assert code == 0, err
    assert Path("runs/latest/model.safetensors").is_file()
    assert not Path("runs/latest/report").exists()


def test_runs_of_one_seed_are_equal_and_another_seed_differs(cifar_train, small):
    states = []
    for seed in (0, 0, 1):
        assert cifar_train("fit", *small, f"--seed_everything={seed}")[0] == 0
        states.append(load_weights(Path("runs/latest/model.safetensors")).model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_saved_configuration_repeats_the_run(cifar_train, small):
    assert cifar_train("fit", *small, "--seed_everything=3")[0] == 0
    first = load_weights(Path("runs/latest/model.safetensors")).model.state_dict()
    code, _, err = cifar_train("fit", "--config=runs/latest/config.yaml")
    assert code == 0, err
    assert len([p for p in Path("runs").iterdir() if not p.is_symlink()]) == 2
    second = load_weights(Path("runs/latest/model.safetensors")).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_a_validation_split_all_images_are_trained_on(cifar_train, small):
    arguments = [a for a in small if not a.startswith(("--data.val_size", "--data.train_limit"))]
    code, out, err = cifar_train(*arguments, "--data.val_size=0", "--trainer.limit_train_batches=2")
    assert code == 0, err
    assert read_summary(Path("runs/latest/report/summary.json")).data["train"] == 10_000
    assert "validation" not in out


@pytest.mark.parametrize("loader", ["albumentations", "tensor", "bolts"])
def test_recipe_era_runs_with_every_loader(cifar_train, loader):
    if loader == "bolts" and importlib.util.find_spec("pl_bolts") is None:
        pytest.skip("needs cifar-data[bolts]")
    code, _, err = cifar_train(
        "fit", "--recipe=era", "--data.source=synthetic", "--data.val_size=100", f"--data.loader={loader}",
        "--data.batch_size=16", "--data.num_workers=0", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2",
        "--trainer.limit_val_batches=1", "--data.eval_batch_size=20", "--trainer.log_every_n_steps=1",
    )  # fmt: skip
    assert code == 0, err
    header = read_header(Path("runs/latest/model.safetensors"))
    assert header.architecture == "resnet9"
    assert header.recipe["data"]["loader"] == loader


def test_export_halves_the_file_and_keeps_the_predictions(cifar_train, small):
    assert cifar_train(*small)[0] == 0
    code, out, err = cifar_train("export", "--out=half.safetensors")
    assert code == 0, err
    assert "float16" in out
    whole, half = load_weights(Path("runs/latest/model.safetensors")), load_weights(Path("half.safetensors"))
    assert (
        Path("half.safetensors").stat().st_size < 0.7 * Path("runs/latest/model.safetensors").stat().st_size
    )
    images = whole.spec.normalize(make_synthetic().test.images[:200])
    with torch.inference_mode():
        torch.testing.assert_close(half.model(images), whole.model(images), atol=2e-2, rtol=2e-2)
    assert half.metrics["test_accuracy"] == whole.metrics["test_accuracy"]


def test_lr_find_suggests_a_rate_and_writes_plot_and_snippet(cifar_train, small):
    code, out, err = cifar_train(
        "lr-find",
        *small,
        "--range.steps=30",
        "--range.min_lr=1e-4",
        "--range.max_lr=1",
        "--trainer.max_epochs=100",
    )
    assert code == 0, err
    assert "suggested model.lr" in out
    (directory,) = Path("runs").iterdir()
    assert directory.name.startswith("lr-find-fast-")
    assert sorted(path.name for path in directory.iterdir()) == ["lr_find.png", "lr_find.yaml"]
    with Image.open(directory / "lr_find.png") as plot:
        assert plot.width > 600
    suggested = yaml.safe_load((directory / "lr_find.yaml").read_text())["model"]["lr"]
    assert 1e-4 <= suggested <= 1
    assert cifar_train("fit", "--recipe=fast", f"--config={directory / 'lr_find.yaml'}", *small)[0] == 0
    assert yaml.safe_load(Path("runs/latest/config.yaml").read_text())["model"]["lr"] == suggested


def test_print_config_is_the_whole_configuration(cifar_train, capsys):
    with pytest.raises(SystemExit) as stopped:
        cifar_train("--recipe=era", "--trainer.max_epochs=4", "--print_config")
    assert stopped.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["max_epochs"] == 4
    assert config["model"]["schedule"]["peak"] == pytest.approx(5 / 24)
    assert config["data"]["augmentation"] == {
        "padding": 4, "padding_mode": "constant", "flip": "random", "cutout": 8, "brightness": 0, "contrast": 0
    }  # fmt: skip
    assert not Path("runs").exists()


def test_help_documents_every_field(cifar_train, capsys):
    from cifar_train.cli.lightning_cli import TrainCLI

    with pytest.raises(SystemExit):
        TrainCLI("run", ["--help"], description="x")
    text = capsys.readouterr().out
    options = [line.split() for line in text.splitlines() if line.strip().startswith(("--data.", "--model."))]
    assert len(options) > 20
    lines = text.splitlines()
    for position, line in enumerate(lines):
        if line.strip().startswith(("--data.", "--model.", "--recipe", "--runs", "--seed", "--ckpt_path")):
            described = (line + " " + " ".join(lines[position + 1 : position + 3])).split(maxsplit=2)
            if ".help" in line or line.split()[0] in ("--data", "--model") or "CONFIG" in line:
                continue
            assert len(described) == 3, line


def test_overview_names_every_command(cifar_train):
    code, out, _ = cifar_train("--help")
    assert code == 0
    for word in ("run", "fit", "test", "lr-find", "export", "era", "fast"):
        assert word in out
