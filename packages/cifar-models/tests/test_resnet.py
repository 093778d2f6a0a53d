"""The networks against plain `nn.Sequential` twins and torchvision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cifar_models import ResNet9, ResNet18


class Plus(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def unit(i: int, o: int, *, pool: bool = False) -> list[nn.Module]:
    halve = [nn.MaxPool2d(2)] if pool else []
    return [nn.Conv2d(i, o, 3, padding=1, bias=False), *halve, nn.BatchNorm2d(o), nn.ReLU()]


def resnet9_twin() -> nn.Sequential:
    """Written from the published description, for 32x32 images only."""
    return nn.Sequential(
        *unit(3, 64),
        *unit(64, 128, pool=True),
        Plus(nn.Sequential(*unit(128, 128), *unit(128, 128))),
        *unit(128, 256, pool=True),
        *unit(256, 512, pool=True),
        Plus(nn.Sequential(*unit(512, 512), *unit(512, 512))),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[ResNet9, ResNet18])
def any_model(request: pytest.FixtureRequest) -> nn.Module:
    return request.param().eval()


def assert_same_step(model: nn.Module, twin: nn.Module) -> None:
    """In train mode: equal logits, gradients and running statistics."""
    x, labels = images(3, 3, 32, 32), torch.tensor([0, 3, 9])
    ours, theirs = model(x), twin(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for logits in (ours, theirs):
        nn.functional.cross_entropy(logits, labels).backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            p.grad, q.grad, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}"
        )
    for a, b in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b)


def test_resnet9_starts_and_steps_as_its_twin():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = ResNet9()
        torch.manual_seed(7)
        twin = resnet9_twin()
    for p, q in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(p, q)
    assert_same_step(model, twin)


def test_resnet9_ties_in_the_last_pool_get_the_gradient_of_max_pool():
    # After ReLU whole maps are often zero; MaxPool2d(4) then gives the gradient to one pixel, not to all.
    ties = torch.zeros(1, 512, 4, 4, requires_grad=True)
    ResNet9().pool(ties).sum().backward()
    again = torch.zeros(1, 512, 4, 4, requires_grad=True)
    nn.MaxPool2d(4)(again).sum().backward()
    assert torch.equal(ties.grad, again.grad)


def torchvision_resnet18() -> nn.Module:
    models = pytest.importorskip("torchvision.models", reason="torchvision is the oracle of ResNet18")
    twin = models.resnet18(num_classes=10)
    twin.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    twin.maxpool = nn.Identity()
    return twin


def test_resnet18_steps_as_torchvision():
    model, twin = ResNet18(), torchvision_resnet18()
    twin.load_state_dict(model.state_dict(), strict=True)
    assert_same_step(model, twin)


def test_resnet18_starts_from_pytorchs_default_initialisation():
    twin = torchvision_resnet18()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        for module in twin.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
        torch.manual_seed(7)
        model = ResNet18()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


@pytest.mark.parametrize(("factory", "published"), [(ResNet9, 6_573_130), (ResNet18, 11_173_962)])
def test_parameter_count(factory, published):
    assert sum(p.numel() for p in factory().parameters()) == published


@pytest.mark.parametrize("factory", [ResNet9, ResNet18])
def test_arguments_shape_the_ends(factory):
    model = factory(num_classes=3, in_channels=1).eval()
    assert model(images(2, 1, 16, 16)).shape == (2, 3)


@pytest.mark.parametrize("factory", [ResNet9, ResNet18])
@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True])
def test_impossible_arguments_are_named(factory, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be an int of at least 1, got {value!r}"):
        factory(**{name: value})


@settings(max_examples=4, deadline=None)
@given(height=st.integers(16, 40), width=st.integers(16, 40))
def test_any_size_from_16(any_model, height, width):
    with torch.no_grad():
        logits = any_model(images(1, 3, height, width))
    assert logits.shape == (1, 10)
    assert logits.isfinite().all()


def test_each_image_is_judged_alone(any_model):
    x = images(3, 3, 32, 32)
    with torch.no_grad():
        together, alone = any_model(x), torch.cat([any_model(image[None]) for image in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape",
    [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 32, 32, 3), (1, 3, 15, 32), (1, 3, 32, 15), (5,)],
)
@pytest.mark.parametrize("method", ["features", "forward"])
def test_wrong_shapes_are_refused(any_model, shape, method):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) with H and W of at least 16, got ") as caught:
        getattr(any_model, method)(torch.zeros(shape))
    assert str(shape) in str(caught.value)


def test_train_mode_takes_one_image_of_the_smallest_size():
    for factory in (ResNet9, ResNet18):
        assert factory()(images(1, 3, 16, 16)).isfinite().all()


def test_cam_layers_are_modules_of_the_model_from_shallow_to_deep(any_model):
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
        for name, layer in any_model.cam_layers.items()
    ]
    x = images(2, 3, 32, 32)
    with torch.no_grad():
        maps = any_model.features(x)
    for hook in hooks:
        hook.remove()
    assert list(seen) == list(any_model.cam_layers)
    assert [out.shape[2] for out in seen.values()] == sorted(
        (o.shape[2] for o in seen.values()), reverse=True
    )
    assert torch.equal(list(seen.values())[-1], maps)


def test_cam_layers_names():
    assert list(ResNet9().cam_layers) == ["prep", "layer1", "layer2", "layer3"]
    assert list(ResNet18().cam_layers) == ["stem", "layer1", "layer2", "layer3", "layer4"]


def test_compiles_to_one_graph(any_model):
    x = images(2, 3, 32, 32)
    compiled = torch.compile(any_model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x), any_model(x))
