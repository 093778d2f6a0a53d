from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from cifar_train.module import LitClassifier
from cifar_train.recipes import list_recipes, recipe_path


def batch(count=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator), torch.arange(count) % 10


@pytest.fixture
def model(monkeypatch):
    model = LitClassifier(architecture="whitenet", arguments={"widths": [8, 8, 8]}, label_smoothing=0.2)
    logged = {}
    monkeypatch.setattr(model, "log", lambda name, value, **_: logged.__setitem__(name, float(value)))
    model.logged = logged
    return model


def test_the_training_loss_is_the_smoothed_cross_entropy_in_closed_form(model):
    images, labels = batch()
    loss = model.training_step((images, labels), 0)
    logs = F.log_softmax(model.net(images), 1)
    targets = torch.full((8, 10), 0.02)
    targets[torch.arange(8), labels] = 0.82
    torch.testing.assert_close(loss, -(targets * logs).sum(1).mean(), rtol=1e-4, atol=1e-5)
    assert model.logged["train_loss"] == pytest.approx(loss.item())


@torch.no_grad()
def test_the_test_metrics_are_of_one_view_and_of_both(model):
    model.eval()
    images, labels = batch()
    model.test_step((images, labels), 0)
    logits = model.net(images)
    both = logits + model.net(images.flip(3))
    assert model.logged["test_accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert model.logged["test_accuracy_flip"] == pytest.approx(
        (both.argmax(1) == labels).float().mean().item()
    )
    assert model.logged["test_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)


@torch.no_grad()
def test_symmetric_images_are_judged_alike_by_one_view_and_both(model):
    model.eval()
    images, labels = batch()
    model.test_step((images + images.flip(3), labels), 0)
    assert model.logged["test_accuracy"] == model.logged["test_accuracy_flip"]


def test_hyperparameters_are_plain_types(model):
    assert dict(model.hparams) == {
        "architecture": "whitenet", "arguments": {"widths": [8, 8, 8]}, "lr": 0.01, "label_smoothing": 0.2
    }  # fmt: skip


def test_data_of_other_classes_are_refused(model):
    model._trainer = SimpleNamespace(datamodule=SimpleNamespace(classes=("a", "b")))
    with pytest.raises(ValueError, match=r"num_classes to 2"):
        model.setup("fit")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"architecture": "resnet8"}, "did you mean 'resnet"),
        ({"lr": 0.0}, r"model\.lr"),
        ({"lr": float("inf")}, r"model\.lr"),
        ({"label_smoothing": -0.1}, r"model\.label_smoothing"),
    ],
)
def test_bad_values_are_named_as_on_the_command_line(arguments, named):
    with pytest.raises(ValueError, match=named):
        LitClassifier(**arguments)


def test_the_recipes_are_there():
    assert list_recipes() == ["best", "era", "fast"]
    with pytest.raises(ValueError, match="did you mean 'era'"):
        recipe_path("eras")
