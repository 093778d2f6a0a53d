import pytest
import torch
import yaml

from cifar_train.precision import quickest_precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"avx2": True, "avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
        ({}, "32-true"),
    ],
)
def test_the_processor_decides(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert quickest_precision("cpu") == expected


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert quickest_precision("cpu") == "32-true"


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_a_run_keeps_what_it_was_trained_with(monkeypatch, cifar_train, small, tmp_path, precision):
    monkeypatch.setattr("cifar_train.training_cli.quickest_precision", lambda accelerator: precision)
    assert cifar_train("fit", *small)[0] == 0
    config = yaml.safe_load((tmp_path / "runs" / "latest" / "config.yaml").read_text())
    assert config["trainer"]["precision"] == precision


def test_a_precision_asked_for_is_taken(cifar_train, small, tmp_path):
    assert cifar_train("fit", *small, "--trainer.precision=32-true")[0] == 0
    config = yaml.safe_load((tmp_path / "runs" / "latest" / "config.yaml").read_text())
    assert config["trainer"]["precision"] == "32-true"


def test_the_network_is_judged_in_float32(cifar_train, small):
    """The metrics of a run in bfloat16 are those that its weights file gives."""
    code, out, _ = cifar_train(*small, "--trainer.precision=bf16-mixed")
    assert code == 0
    trained = {line.split("  ")[0].strip(): line for line in out.splitlines() if line.startswith("test")}
    code, out, _ = cifar_train("test", "--data.source=synthetic")
    tested = {line.split("  ")[0].strip(): line for line in out.splitlines() if line.startswith("test")}
    assert code == 0
    assert {name: line.split()[-1] for name, line in trained.items()} == {
        name: line.split()[-1] for name, line in tested.items()
    }
    assert len(trained) == 2
