import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from cifar_data import CIFAR10DataModule, make_synthetic
from cifar_models import load_weights, read_header
from cifar_train.cli.lightning_cli import TrainCLI
from cifar_train.runs.hardware import quickest_precision

LATEST = Path("runs/latest")
WEIGHTS = LATEST / "model.safetensors"


def rows_of_the_test(output):
    return dict(re.findall(r"^ *(test \w+|with TTA .+?) {2,}(\S+)", output, flags=re.MULTILINE))


def test_run_writes_all_files_and_test_repeats_its_metrics(succeed, small, monkeypatch):
    for module in ("lightning_cli", "evaluate"):
        monkeypatch.setattr(f"cifar_train.cli.{module}.quickest_precision", lambda *_: "bf16-mixed")
    out, err = succeed(*small, "--report=false", "--model.tta=flip_and_shift")
    assert LATEST.resolve().name.startswith("fast-")
    config = yaml.safe_load((LATEST / "config.yaml").read_text())
    assert config["trainer"]["precision"] == "bf16-mixed"
    for name in ("metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (LATEST / name).is_file()
    assert list((LATEST / "tensorboard").glob("events.out.tfevents.*"))
    assert len(re.findall(r"^epoch [12]/2  .*images/s", err, re.MULTILINE)) == 2
    assert out.endswith("uv run cifar-train report runs/latest\n")
    assert len(rows_of_the_test(out)) == 4
    assert rows_of_the_test(succeed("test", "--data.source=synthetic")[0]) == rows_of_the_test(out)
    metrics = json.loads((LATEST / "report/summary.json").read_text())["metrics"]
    assert read_header(WEIGHTS).metrics.items() >= metrics.items()


def test_fit_writes_weights_without_evaluating_the_test_set(succeed, small, monkeypatch, tmp_path):
    monkeypatch.delattr(CIFAR10DataModule, "test_dataloader")
    out, _ = succeed("fit", *small, f"--data.cache_dir={tmp_path}/decoded")
    assert not (LATEST / "report").exists()
    header = read_header(WEIGHTS)
    assert header.recipe["model"]["architecture"] == "whitenet"
    assert header.recipe["trainer"]["max_epochs"] == 2
    assert header.metrics["data_fingerprint"] == make_synthetic().fingerprint
    assert str(tmp_path) not in json.dumps(header.recipe)
    assert f"{100 * header.metrics['val_accuracy']:.2f} %" in out
    assert f"runs/{LATEST.resolve().name}/model.safetensors\n" in out
    assert out.endswith("uv run cifar-train report runs/latest\n")


def test_runs_of_one_seed_or_of_the_saved_configuration_are_equal_and_another_seed_differs(succeed, small):
    seeded, states = [*small, "--seed_everything=3"], []
    for arguments in (seeded, seeded, ["--config=runs/latest/config.yaml"], [*small, "--seed_everything=1"]):
        succeed("fit", *arguments)
        states.append(load_weights(WEIGHTS).model.state_dict())
    assert len([path for path in Path("runs").iterdir() if not path.is_symlink()]) == 4
    first, *others = states
    equal = [all(torch.equal(value, other[name]) for name, value in first.items()) for other in others]
    assert equal == [True, True, False]


@pytest.mark.parametrize("loader", ["albumentations", "tensor", "bolts"])
def test_recipe_era_runs_with_every_loader(succeed, small, loader):
    if loader == "bolts" and importlib.util.find_spec("pl_bolts") is None:
        pytest.skip("needs cifar-data[bolts]")
    # All of the small run's options but its network.
    options = [*small[2:], f"--data.loader={loader}", "--data.num_workers=0", "--data.batch_size=16"]
    succeed("fit", "--recipe=era", *options, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2")
    header = read_header(WEIGHTS)
    assert header.architecture == "resnet9"
    assert header.recipe["data"]["loader"] == loader


def test_export_halves_the_file_and_test_records_metrics_in_it(succeed, trained_run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    out, _ = succeed("export", "--run", str(trained_run), "--out=~/half.safetensors")
    assert "float16" in out
    files = trained_run / "model.safetensors", tmp_path / "half.safetensors"
    assert files[1].stat().st_size < 0.7 * files[0].stat().st_size
    whole, half = map(load_weights, files)
    images = whole.spec.normalize(make_synthetic().test.images[:200])
    with torch.inference_mode():
        torch.testing.assert_close(half.model(images), whole.model(images), atol=2e-2, rtol=2e-2)
    assert half.metrics == whole.metrics

    out, _ = succeed("test", "--weights=half.safetensors", "--record", "--data.source=synthetic")
    recorded = load_weights(files[1])
    assert recorded.dtype == "float16"
    assert recorded.sha256 != half.sha256
    assert f"{100 * recorded.metrics['test_accuracy']:.2f} %" in out
    assert recorded.metrics["familiarity"] == half.metrics["familiarity"]
    pairs = zip(recorded.model.parameters(), half.model.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_home_folder_is_found_in_variable_and_argument(succeed, small, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CIFAR_TRAIN_RUN", "~/job")
    Path("mine.yaml").write_text("seed_everything: 5")
    succeed("fit", "--recipe=fast", *small, "--config", "~/mine.yaml")
    assert read_header(Path("job/model.safetensors")).recipe["seed_everything"] == 5
    assert not Path("~").exists()


def test_tasks_of_one_srun_share_a_directory_and_a_shell_of_a_job_trains_alone(succeed, small, monkeypatch):
    for variable in ("JOB_ID=7", "JOB_NAME=cifar", "NTASKS=2", "NTASKS_PER_NODE=2", "NODELIST=localhost"):
        monkeypatch.setenv(*f"SLURM_{variable}".split("="))
    succeed("fit", *small, "--trainer.max_epochs=1")
    alone = LATEST.resolve()
    for name in ("STEP_ID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    for rank in ("1", "0"):
        monkeypatch.setenv("SLURM_PROCID", rank)
        monkeypatch.setenv("SLURM_LOCALID", rank)
        cli = TrainCLI("fit", [*small, "--trainer.devices=2", "--trainer.strategy=ddp"], description="")
        assert cli.run.path == Path("runs/fast-slurm-7.0")
    assert {path.resolve() for path in Path("runs").iterdir()} == {alone}


def test_lr_find_suggests_a_rate_and_writes_plot_and_snippet(succeed, small):
    steps = ["--range.steps=30", "--range.min_lr=1e-4", "--range.max_lr=1", "--trainer.max_epochs=100"]
    out, _ = succeed("lr-find", *small, *steps)
    assert "suggested model.lr" in out
    (directory,) = Path("runs").iterdir()
    assert directory.name.startswith("lr-find-fast-")
    snippet, plot = directory / "lr_find.yaml", directory / "lr_find.png"
    assert set(directory.iterdir()) == {snippet, plot}
    Image.open(plot).close()
    suggested = yaml.safe_load(snippet.read_text())["model"]["lr"]
    assert 1e-4 <= suggested <= 1
    succeed("fit", "--recipe=fast", f"--config={snippet}", *small)
    assert yaml.safe_load((LATEST / "config.yaml").read_text())["model"]["lr"] == suggested


@pytest.fixture
def printed(cifar_train, capsys):
    """Call the command with an option that prints and exits; returns stdout."""

    def call(*args):
        with pytest.raises(SystemExit, match=r"^0$"):
            cifar_train(*args)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("form", ["--model.optimizer=torch.optim.Adam", "--recipe=fast --config=adam.yaml"])
@pytest.mark.parametrize("between", ["=", " "])
def test_optimizer_that_is_named_has_its_own_defaults_not_those_of_the_recipes(printed, form, between):
    Path("adam.yaml").write_text("model: {optimizer: torch.optim.Adam}")
    options = [*form.replace("=", between).split(), "--model.optimizer.eps=1e-6", "--print_config"]
    config = yaml.safe_load(printed("fit", *options))
    optimizer = config["model"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.Adam"
    assert (optimizer["init_args"]["weight_decay"], optimizer["init_args"]["eps"]) == (0, 1e-6)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("line", "defaults"), [("fit", "fast 7 250"), ("lr-find --recipe=era", "era 24 512")]
)
def test_help_begins_with_fifteen_fields_and_the_defaults_of_the_recipe(printed, line, defaults):
    text = printed(*line.split(), "--help")
    assert text.startswith(f"usage: cifar-train {line.split()[0]} ")
    first = text.split("fields that are changed most:\n")[1].split("\n\n")[0]
    assert len(re.findall("^  --", first, re.MULTILINE)) == 15
    shown = " ".join(first.split())
    fields = ("recipe", "trainer.max_epochs", "data.batch_size")
    for field, default in zip(fields, defaults.split(), strict=True):
        assert f"default: {default})" in shown.split(f"--{field} ")[1].split(" --")[0], field
    assert not re.search("--(report|human)", text)


def test_every_field_of_ours_is_described(cifar_train, small):
    ours = ("data.", "model.", "recipe", "runs", "seed", "ckpt_path")
    actions = TrainCLI("fit", small, description="").parser._actions
    texts = {action.dest: action.help for action in actions if action.dest.startswith(ours)}
    assert len(texts) > 30
    assert all(texts.values()), texts


@pytest.mark.parametrize("command", ["test", "report", "gallery"])
def test_help_of_commands_that_evaluate_has_no_settings_of_the_training(printed, trained_run, command):
    fields = {*re.findall(r"--data\.(\w+)", printed(command, str(trained_run), "--help"))}
    training = {"batch_size", "loader", "num_workers", "augmentation", "train_limit", "val_size"}
    assert (fields >= {"root"}, fields & training) == (True, set())


def test_precision_follows_the_processor(monkeypatch):
    for capabilities in ({"avx512_bf16": True}, {"amx_bf16": True}, {"avx2": True, "amx_bf16": False}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert quickest_precision("cpu") == ("32-true" if "avx2" in capabilities else "bf16-mixed")
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # older versions of torch
    assert quickest_precision("cpu") == "32-true"
