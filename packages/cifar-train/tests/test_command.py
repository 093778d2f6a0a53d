import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from cifar_data import CIFAR10DataModule, make_synthetic
from cifar_explain import read_gallery
from cifar_models import load_weights, read_header
from cifar_train.cli.lightning_cli import TrainCLI
from cifar_train.runs.summary import read_summary

LATEST = Path("runs/latest")


def weights():
    return load_weights(LATEST / "model.safetensors").model.state_dict()


def rows_of_the_test(output):
    return dict(re.findall(r"^ *(test \w+|with TTA .+?) {2,}(\S+)", output, flags=re.MULTILINE))


def test_run_writes_everything_into_its_directory_and_its_metrics_are_those_of_the_weights_file(
    succeed, small_run, monkeypatch
):
    for module in ("cli.lightning_cli", "cli.evaluate"):
        monkeypatch.setattr(f"cifar_train.{module}.quickest_precision", lambda *_: "bf16-mixed")
    out, err = succeed(*small_run, "--model.tta=flip_and_shift")
    assert LATEST.resolve().name.startswith("fast-")
    names = ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt")
    assert all((LATEST / name).is_file() for name in names)
    assert list((LATEST / "tensorboard").glob("events.out.tfevents.*"))
    for epoch in ("epoch 1/2  ", "epoch 2/2  "):
        assert "images/s" in err.split(epoch)[1].splitlines()[0]
    assert out.endswith("uv run cifar-train report runs/latest\n")
    assert len(rows_of_the_test(out)) == 4
    assert rows_of_the_test(succeed("test", "--data.source=synthetic")[0]) == rows_of_the_test(out)

    loaded, test = load_weights(LATEST / "model.safetensors"), make_synthetic().test
    images = loaded.spec.normalize(test.images)
    with torch.inference_mode():
        logits = loaded.model(images)
        both = logits + loaded.model(images.flip(3))
    labels = torch.from_numpy(test.labels)
    metrics = read_summary(LATEST / "report/summary.json").metrics
    # The trainer uses other batch sizes; a near tie may fall either way.
    for name, expected in (("test_accuracy", logits), ("test_accuracy_flip", both)):
        accuracy = (expected.argmax(1) == labels).float().mean().item()
        assert metrics[name] == pytest.approx(accuracy, abs=1.5 / len(labels))
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert loaded.metrics["test_accuracy"] == metrics["test_accuracy"]


@pytest.mark.usefixtures("quick_report")
def test_report_ends_with_the_command_that_shows_it(succeed, copied_run):
    out, _ = succeed("report", str(copied_run))
    assert out.endswith(f"uv run cifar-space --run {copied_run}\n")


def test_fit_writes_weights_with_the_recipe_and_does_not_evaluate_the_test_set(
    succeed, small, monkeypatch, tmp_path
):
    monkeypatch.setattr(
        CIFAR10DataModule, "test_dataloader", lambda self: pytest.fail("the test set was evaluated")
    )
    out, _ = succeed("fit", *small, f"--data.cache_dir={tmp_path}/decoded")
    assert not (LATEST / "report").exists()
    header = read_header(LATEST / "model.safetensors")
    assert header.recipe["model"]["architecture"] == "whitenet"
    assert header.recipe["trainer"]["max_epochs"] == 2
    assert header.metrics["data_fingerprint"] == make_synthetic().fingerprint
    assert str(tmp_path) not in json.dumps(header.recipe)
    assert f"{header.metrics['val_accuracy']:.2%}".replace("%", " %") in out
    assert f"runs/{LATEST.resolve().name}/model.safetensors\n" in out
    assert out.endswith("uv run cifar-train report runs/latest\n")


def test_runs_of_one_seed_or_of_the_saved_configuration_are_equal_and_another_seed_differs(succeed, small):
    states = []
    for arguments in (
        [*small, "--seed_everything=3"],
        [*small, "--seed_everything=3"],
        ["--config=runs/latest/config.yaml"],
        [*small, "--seed_everything=1"],
    ):
        succeed("fit", *arguments)
        states.append(weights())
    assert len([path for path in Path("runs").iterdir() if not path.is_symlink()]) == 4
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        assert torch.equal(value, states[2][name])
    assert not all(torch.equal(value, states[3][name]) for name, value in states[0].items())


def test_without_a_validation_split_all_images_are_trained_on(succeed, small_run):
    arguments = [a for a in small_run if not a.startswith(("--data.val_size", "--data.train_limit"))]
    out, _ = succeed(*arguments, "--data.val_size=0", "--trainer.limit_train_batches=2")
    assert read_summary(LATEST / "report/summary.json").data["train"] == 10_000
    assert "validation" not in out


@pytest.mark.parametrize("loader", ["albumentations", "tensor", "bolts"])
def test_recipe_era_runs_with_every_loader(succeed, loader):
    if loader == "bolts" and importlib.util.find_spec("pl_bolts") is None:
        pytest.skip("needs cifar-data[bolts]")
    succeed(
        "fit", "--recipe=era", "--data.source=synthetic", "--data.val_size=100", f"--data.loader={loader}",
        "--data.batch_size=16", "--data.num_workers=0", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2",
        "--trainer.limit_val_batches=1", "--data.eval_batch_size=20", "--trainer.log_every_n_steps=1",
    )  # fmt: skip
    header = read_header(LATEST / "model.safetensors")
    assert header.architecture == "resnet9"
    assert header.recipe["data"]["loader"] == loader


def test_export_halves_the_file_and_keeps_the_predictions(succeed, trained_run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    out, _ = succeed("export", "--run", str(trained_run), "--out=~/half.safetensors")
    assert "float16" in out
    files = trained_run / "model.safetensors", tmp_path / "half.safetensors"
    assert files[1].stat().st_size < 0.7 * files[0].stat().st_size
    whole, half = map(load_weights, files)
    images = whole.spec.normalize(make_synthetic().test.images[:200])
    with torch.inference_mode():
        torch.testing.assert_close(half.model(images), whole.model(images), atol=2e-2, rtol=2e-2)
    assert half.metrics["test_accuracy"] == whole.metrics["test_accuracy"]


def test_gallery_of_a_run_is_written_again(succeed, copied_run):
    before = read_gallery(copied_run / "gallery")
    out, _ = succeed("gallery", str(copied_run), "--data.source=synthetic")
    assert out.startswith(f"{copied_run / 'gallery'}  {len(before.errors):,} errors of 2,000 test images")
    assert read_gallery(copied_run / "gallery").weights_sha256 == before.weights_sha256


def test_home_folder_is_found_in_variable_and_argument(succeed, small, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CIFAR_TRAIN_RUN", "~/job")
    (tmp_path / "mine.yaml").write_text("seed_everything: 5")
    succeed("fit", "--recipe=fast", *small, "--config", "~/mine.yaml")
    assert read_header(tmp_path / "job" / "model.safetensors").recipe["seed_everything"] == 5
    assert not Path("~").exists()


def test_tasks_of_one_srun_share_a_directory_and_a_shell_of_a_job_trains_alone(succeed, small, monkeypatch):
    for variable in ("JOB_ID=7", "JOB_NAME=cifar", "NTASKS=2", "NTASKS_PER_NODE=2", "NODELIST=localhost"):
        monkeypatch.setenv(*f"SLURM_{variable}".split("="))
    succeed("fit", *small, "--trainer.max_epochs=1")
    alone = LATEST.resolve()
    for name in ("STEP_ID", "NODEID", "LOCALID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    directories = []
    for rank in ("1", "0"):
        monkeypatch.setenv("SLURM_PROCID", rank)
        monkeypatch.setenv("SLURM_LOCALID", rank)
        cli = TrainCLI("fit", [*small, "--trainer.devices=2", "--trainer.strategy=ddp"], description="")
        directories.append(cli.run.path)
    assert directories == [Path("runs/fast-slurm-7.0")] * 2
    assert {path.resolve() for path in Path("runs").iterdir()} == {alone}


def test_lr_find_suggests_a_rate_and_writes_plot_and_snippet(succeed, small):
    steps = ["--range.steps=30", "--range.min_lr=1e-4", "--range.max_lr=1", "--trainer.max_epochs=100"]
    out, _ = succeed("lr-find", *small, *steps)
    assert "suggested model.lr" in out
    (directory,) = Path("runs").iterdir()
    assert directory.name.startswith("lr-find-fast-")
    assert sorted(path.name for path in directory.iterdir()) == ["lr_find.png", "lr_find.yaml"]
    with Image.open(directory / "lr_find.png") as plot:
        assert plot.width > 600
    suggested = yaml.safe_load((directory / "lr_find.yaml").read_text())["model"]["lr"]
    assert 1e-4 <= suggested <= 1
    succeed("fit", "--recipe=fast", f"--config={directory / 'lr_find.yaml'}", *small)
    assert yaml.safe_load((LATEST / "config.yaml").read_text())["model"]["lr"] == suggested


@pytest.fixture
def print_config(cifar_train, capsys):
    def call(*args):
        with pytest.raises(SystemExit) as stopped:
            cifar_train(*args, "--print_config")
        assert stopped.value.code == 0
        return yaml.safe_load(capsys.readouterr().out)

    return call


def test_print_config_is_the_whole_configuration(print_config):
    config = print_config("--recipe=era", "--trainer.max_epochs=4")
    assert config["trainer"]["max_epochs"] == 4
    assert config["model"]["schedule"]["peak"] == pytest.approx(5 / 24)
    assert config["data"]["augmentation"] == {
        "padding": 4, "padding_mode": "constant", "flip": "random", "cutout": 8, "brightness": 0, "contrast": 0
    }  # fmt: skip
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "form",
    [
        ["--model.optimizer=torch.optim.Adam"],
        ["--model.optimizer", "torch.optim.Adam"],
        ["--recipe=fast", "--config=adam.yaml"],
        ["--recipe=fast", "--config", "adam.yaml"],
    ],
)
def test_optimizer_that_is_named_has_its_own_defaults_not_those_of_the_recipes(print_config, form):
    Path("adam.yaml").write_text("model: {optimizer: torch.optim.Adam}")
    optimizer = print_config("fit", *form, "--model.optimizer.eps=1e-6")["model"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.Adam"
    assert (optimizer["init_args"]["weight_decay"], optimizer["init_args"]["eps"]) == (0, 1e-6)


def help_of(capsys, cifar_train, *args):
    with pytest.raises(SystemExit):
        cifar_train(*args, "--help")
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "defaults"), [(["fit"], ("fast", "7", "250")), (["lr-find", "--recipe=era"], ("era", "24", "512"))]
)  # fmt: skip
def test_help_begins_with_fifteen_fields_and_the_defaults_of_the_recipe(
    cifar_train, capsys, arguments, defaults
):
    text = help_of(capsys, cifar_train, *arguments)
    assert text.startswith(f"usage: cifar-train {arguments[0]} ")
    first = text.split("fields that are changed most:\n")[1].split("\n\n")[0]
    assert len([line for line in first.splitlines() if line.startswith("  --")]) == 15
    shown = " ".join(first.split())
    for field, default in zip(("recipe", "trainer.max_epochs", "data.batch_size"), defaults, strict=True):
        assert f"default: {default})" in shown.split(f"--{field} ")[1].split(" --")[0], field
    assert "--report" not in text
    assert "--human" not in text


def test_every_field_of_ours_is_described(cifar_train, small):
    actions = TrainCLI("fit", small, description="").parser._actions
    ours = [
        a for a in actions if a.dest.startswith(("data.", "model.", "recipe", "runs", "seed", "ckpt_path"))
    ]
    assert len(ours) > 30
    assert [action.dest for action in ours if not action.help] == []


@pytest.mark.parametrize("command", ["test", "report", "gallery"])
def test_help_of_what_evaluates_has_no_settings_of_training(cifar_train, trained_run, capsys, command):
    text = help_of(capsys, cifar_train, command, str(trained_run))
    assert "--data.root" in text
    for field in ("batch_size BATCH", "loader", "num_workers", "augmentation", "train_limit", "val_size"):
        assert f"--data.{field}" not in text.replace("--data.eval_batch_size", ""), field


def test_overview_names_every_command(succeed):
    out, _ = succeed("--help")
    for word in ("run", "fit", "test", "lr-find", "export", "era", "fast"):
        assert word in out
