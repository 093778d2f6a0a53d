import pytest
import torch
from torch import nn

from cifar_models import ResNet9, ResNet18, create_model, list_models, register_model
from cifar_models.architectures import registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))


def test_built_in_models():
    assert type(create_model("resnet9")) is ResNet9
    assert type(create_model("resnet18", num_classes=3)) is ResNet18
    assert list_models() == sorted(list_models())


def test_every_model_honours_the_common_contract():
    for name in list_models():
        model = create_model(name, num_classes=7, in_channels=2).eval()
        x = torch.zeros(2, 2, 16, 16)
        assert model(x).shape == (2, 7), name
        assert model.features(x).ndim == 4, name
        assert all(layer in list(model.modules()) for layer in model.cam_layers.values()), name


@pytest.mark.parametrize(
    ("name", "nearest"), [("resnet_9", "'resnet9'"), ("resnet81", "'resnet18'"), ("ResNet9", "'resnet9'")]
)
def test_unknown_name_tells_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=rf"no architecture '{name}'; did you mean .*{nearest}"):
        create_model(name)


def test_hopeless_name_tells_them_all():
    with pytest.raises(ValueError, match=r"known: .*'resnet18', 'resnet9'"):
        create_model("")


def test_unknown_arguments_are_named_with_the_accepted_ones():
    with pytest.raises(
        ValueError, match=r"resnet9 has no argument 'clases', 'name'; .*'in_channels', 'num_classes'"
    ):
        create_model("resnet9", clases=10, name="x")


def test_registered_factory_is_called():
    def tiny(*, width, depth=1):
        return nn.Linear(width, depth)

    register_model("tiny", tiny)
    assert "tiny" in list_models()
    assert create_model("tiny", width=4).weight.shape == (1, 4)
    with pytest.raises(ValueError, match="tiny needs the argument 'width'"):
        create_model("tiny")


def test_open_ended_factory_takes_anything():
    register_model("open", lambda **kwargs: nn.Linear(**kwargs))
    assert create_model("open", in_features=2, out_features=3).out_features == 3


def test_no_silent_replacement():
    with pytest.raises(ValueError, match="'resnet9' is taken already"):
        register_model("resnet9", ResNet18)


@pytest.mark.parametrize("name", ["", None, 3])
def test_impossible_names(name):
    with pytest.raises(ValueError, match="name must be a string"):
        register_model(name, ResNet9)


def test_uncallable_factory():
    with pytest.raises(TypeError, match="factory must be callable, got 5"):
        register_model("five", 5)
