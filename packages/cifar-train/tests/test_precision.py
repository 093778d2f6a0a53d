import re

import pytest
import torch
import yaml
from torch import nn

from cifar_train.runs.hardware import quickest_precision
from cifar_train.training.module import LitClassifier


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"avx2": True, "avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
        ({}, "32-true"),
    ],
)
def test_precision_follows_the_processor(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert quickest_precision("cpu") == expected


def test_precision_is_float32_if_torch_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert quickest_precision("cpu") == "32-true"


@pytest.mark.parametrize(
    ("given", "stored"), [([], "bf16-mixed"), (["--trainer.precision=32-true"], "32-true")]
)
def test_configuration_stores_the_precision_given_or_else_the_quickest(
    monkeypatch, cifar_train, small, tmp_path, given, stored
):
    monkeypatch.setattr("cifar_train.cli.lightning_cli.quickest_precision", lambda accelerator: "bf16-mixed")
    assert cifar_train("fit", *small, *given)[0] == 0
    config = yaml.safe_load((tmp_path / "runs" / "latest" / "config.yaml").read_text())
    assert config["trainer"]["precision"] == stored


def rows_of_the_test(output):
    return dict(re.findall(r"^ *(test \w+|with TTA .+?) {2,}(\S+)", output, flags=re.MULTILINE))


def test_command_test_prints_the_metrics_of_the_run(monkeypatch, cifar_train, small_run):
    for module in ("cli.lightning_cli", "cli.evaluate"):
        monkeypatch.setattr(f"cifar_train.{module}.quickest_precision", lambda *_: "bf16-mixed")
    code, out, _ = cifar_train(*small_run, "--model.tta=flip_and_shift")
    assert code == 0
    trained = rows_of_the_test(out)
    code, out, _ = cifar_train("test", "--data.source=synthetic")
    assert code == 0
    assert rows_of_the_test(out) == trained
    assert len(trained) == 4


@torch.no_grad()
def test_only_validation_and_shifted_copies_take_the_quicker_format(monkeypatch):
    module = LitClassifier(architecture="whitenet", tta="flip_and_shift")
    module.net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    seen, logged = [], {}
    module.net.register_forward_hook(lambda net, images, logits: seen.append(logits.dtype))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    with torch.autocast("cpu", torch.bfloat16):
        module.validation_step((images, labels), 0)
        module.test_step((images, labels), 0)
    assert seen == [torch.bfloat16] + [torch.float32] * 2 + [torch.bfloat16] * 4
    exact = nn.functional.cross_entropy(module.net(images), labels)
    assert logged["test_loss"] == pytest.approx(exact.item())
    assert logged["val_loss"] == pytest.approx(exact.item(), rel=0.02)
    assert logged["val_loss"] != exact
