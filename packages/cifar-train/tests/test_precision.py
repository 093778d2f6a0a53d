from pathlib import Path

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
        (None, "32-true"),
    ],
)
def test_precision_follows_the_processor(monkeypatch, capabilities, expected):
    if capabilities is None:  # older versions of torch
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert quickest_precision("cpu") == expected


@pytest.mark.parametrize(
    ("given", "stored"), [([], "bf16-mixed"), (["--trainer.precision=32-true"], "32-true")]
)
def test_configuration_stores_the_precision_given_or_else_the_quickest(
    monkeypatch, succeed, small, given, stored
):
    monkeypatch.setattr("cifar_train.cli.lightning_cli.quickest_precision", lambda accelerator: "bf16-mixed")
    succeed("fit", *small, *given)
    config = yaml.safe_load(Path("runs/latest/config.yaml").read_text())
    assert config["trainer"]["precision"] == stored


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
