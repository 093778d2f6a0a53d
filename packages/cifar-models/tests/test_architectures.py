"""Architectures against plain `nn.Sequential` twins and torchvision, what they have in common, and their registry."""

from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cifar_models import ResNet9, ResNet18, WhiteNet, create_model, list_models, register_model
from cifar_models.architectures.whitenet import whitening_filters

pytestmark = pytest.mark.numeric


PARAMETERS = {ResNet9: 6_573_130, ResNet18: 11_173_962, WhiteNet: 498_104}


def images(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=PARAMETERS)
def model(request):
    return request.param().eval()


@pytest.mark.parametrize(("factory", "expected"), PARAMETERS.items())
def test_size_is_as_published_and_ends_as_asked(factory, expected):
    assert sum(p.numel() for p in factory().parameters()) == expected
    assert factory(num_classes=3, in_channels=1).eval()(images(2, 1, 16, 16)).shape == (2, 3)


@settings(max_examples=4, deadline=None)
@given(height=st.integers(16, 40), width=st.integers(16, 40))
def test_any_size_from_16_gives_logits(model, height, width):
    with torch.no_grad():
        logits = model(images(1, 3, height, width))
    assert logits.shape == (1, 10)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    "shape",
    [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 32, 32, 3), (1, 3, 15, 32), (1, 3, 32, 15), (5,)],
)
@pytest.mark.parametrize("method", ["features", "forward"])
def test_wrong_shapes_are_rejected(model, shape, method):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) with H and W of at least 16, got ") as caught:
        getattr(model, method)(torch.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("factory", [ResNet9, ResNet18])
def test_train_mode_takes_one_image_of_the_smallest_size(factory):
    assert factory()(images(1, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize(
    ("factory", "sides"),
    [
        (ResNet9, {"prep": 32, "layer1": 16, "layer2": 8, "layer3": 4}),
        (ResNet18, {"stem": 32, "layer1": 32, "layer2": 16, "layer3": 8, "layer4": 4}),
        (WhiteNet, {"layer1": 15, "layer2": 7, "layer3": 3}),
    ],
)
def test_cam_layers_run_from_shallow_to_deep_and_end_in_the_features(factory, sides):
    model, seen = factory().eval(), {}
    for name, layer in model.cam_layers.items():
        layer.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    maps = model.features(images(2, 3, 32, 32))
    assert list(seen) == list(model.cam_layers) == list(sides)
    assert {name: out.shape[3] for name, out in seen.items()} == sides
    assert list(seen.values())[-1] is maps


def test_models_compile_to_one_graph(model, assert_close):
    x = images(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert_close(compiled(x), model(x))


class Plus(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def unit(i, o, *halve):
    return nn.Conv2d(i, o, 3, padding=1, bias=False), *halve, nn.BatchNorm2d(o), nn.ReLU()


def resnet9_twin():
    """Written from the published description, for 32x32 images only."""
    halve = nn.MaxPool2d(2)
    first = *unit(3, 64), *unit(64, 128, halve), Plus(*unit(128, 128), *unit(128, 128))
    last = *unit(128, 256, halve), *unit(256, 512, halve), Plus(*unit(512, 512), *unit(512, 512))
    return nn.Sequential(*first, *last, nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, 10))


def torchvision_resnet18():
    models = pytest.importorskip("torchvision.models", reason="torchvision is the oracle of ResNet18")
    twin = models.resnet18(num_classes=10)
    twin.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    twin.maxpool = nn.Identity()
    return twin


def initialised(create):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = create()
        if create is torchvision_resnet18:  # it has an initialisation of its own
            torch.manual_seed(7)
            for module in made.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.reset_parameters()
    return made


@pytest.mark.parametrize(("factory", "twin"), [(ResNet9, resnet9_twin), (ResNet18, torchvision_resnet18)])
def test_resnets_start_and_step_as_their_twins(factory, twin, assert_close):
    ours, theirs = initialised(factory), initialised(twin)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)
    x, labels = images(3, 3, 32, 32), torch.tensor([0, 3, 9])
    results = []
    for network in (ours, theirs):
        logits = network(x)
        nn.functional.cross_entropy(logits, labels).backward()
        statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        results.append([logits.detach(), *(p.grad for p in network.parameters()), *statistics])
    for a, b in zip(*results, strict=True):
        assert_close(a, b)


def test_resnet18_takes_torchvision_weights():
    twin = torchvision_resnet18()
    ResNet18().load_state_dict(twin.state_dict(), strict=True)


def test_ties_in_resnet9s_last_pooling_get_the_gradient_of_max_pooling():
    # After ReLU whole maps are often zero; MaxPool2d(4) then gives the gradient to one pixel, not to all.
    ties = torch.zeros(1, 512, 4, 4, requires_grad=True)
    ours, theirs = (torch.autograd.grad(pool(ties).sum(), ties) for pool in (ResNet9().pool, nn.MaxPool2d(4)))
    assert torch.equal(*ours, *theirs)


def correlated_images(count=256, size=12):
    noise = images(count, 3, size, size, seed=0)
    mixing = torch.tensor([[1.0, 0.8, 0.6], [0.0, 0.5, 0.3], [0.0, 0.0, 0.2]])
    blurred = nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    return torch.einsum("nchw,cd->ndhw", blurred, mixing)


@settings(deadline=None, max_examples=10)
@given(st.floats(0.1, 10.0))
def test_whitened_patches_are_uncorrelated_and_of_unit_variance(scale):
    scaled = correlated_images() * scale
    filters = whitening_filters(scaled, eps=0.0).double()
    flat = nn.functional.conv2d(scaled.double(), filters).permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(flat @ flat.T / flat.size(1), torch.eye(12).double(), atol=2e-2, rtol=0)
    # Of the two signs of an eigenvector the same on every machine.
    assert (filters.flatten(1).amax(1) == filters.abs().flatten(1).amax(1)).all()


def test_initialize_sets_both_signs_and_leaves_the_rest():
    model = WhiteNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialize(correlated_images())
    assert torch.equal(model.whiten.weight[:12], -model.whiten.weight[12:])
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"whiten.weight"}


def test_whitening_and_norm_scales_are_not_trained():
    model = WhiteNet()
    model(images(4, 3, 32, 32)).sum().backward()
    frozen = {name for name, p in model.named_parameters() if p.grad is None}
    scales = {f"layer{i}.norm{j}.weight" for i in (1, 2, 3) for j in (1, 2)}
    assert frozen == {"whiten.weight", "whiten.bias"} | scales


def test_whitenets_convolutions_start_as_the_identity_on_their_inputs(assert_close):
    x = images(2, 24, 16, 16)
    with torch.no_grad():
        assert_close(WhiteNet(widths=(32, 64, 64)).layer1.conv1(x)[:, :24], x)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_whitenet_is_its_layers_with_the_activation_asked_for(activation, assert_close):
    layer = getattr(nn.functional, activation)
    model = WhiteNet(widths=(4, 4, 4), activation=activation).eval()
    with torch.no_grad():
        x = layer(model.whiten(images(2, 3, 16, 16)))
        for group in (model.layer1, model.layer2, model.layer3):
            x = layer(group.norm1(nn.MaxPool2d(2)(group.conv1(x))))
            x = layer(group.norm2(group.conv2(x)))
        assert_close(model(images(2, 3, 16, 16)), model.head(x.amax((2, 3))))


def test_models_are_created_by_name_also_of_registered_factories():
    created = {name: type(create_model(name)) for name in list_models()}
    assert created == {"resnet18": ResNet18, "resnet9": ResNet9, "whitenet": WhiteNet}
    register_model("open", lambda *, out=1, **kwargs: nn.Linear(out_features=out, **kwargs))
    assert list_models() == ["open", *created]
    assert create_model("open", in_features=2).weight.shape == (1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (partial(factory, **{name: wrong}), f"{name} must be an int of at least 1, got {wrong!r}")
            for factory, name in product(PARAMETERS, ("num_classes", "in_channels"))
            for wrong in (0, 2.0, "3", True)
        ),
        (lambda: WhiteNet(widths=(8, 8)), "widths"),
        (lambda: WhiteNet(widths=(8, 0, 8)), "widths"),
        (lambda: WhiteNet(norm_momentum=0.0), "norm_momentum"),
        (lambda: WhiteNet(activation="tanh"), "activation must be one of relu, silu, gelu, got 'tanh'"),
        (lambda: whitening_filters(torch.zeros(3, 8, 8)), r"got \(3, 8, 8\)"),
        (lambda: whitening_filters(torch.zeros(8, 3, 8, 1)), r"at least 2, got \(8, 3, 8, 1\)"),
        (lambda: whitening_filters(torch.zeros(1, 3, 3, 3)), "more images"),
        (lambda: whitening_filters(torch.full((8, 3, 8, 8), float("nan"))), "NaN"),
        (lambda: create_model("resnet_9"), "no .* 'resnet_9'; known are resnet18, resnet9, tiny, whitenet"),
        (lambda: create_model("resnet9", clases=1), "resnet9: .*'clases'; its .* num_classes, in_channels"),
        (lambda: create_model("tiny"), r"tiny: missing a required (keyword-only )?argument: 'width'"),
        (lambda: register_model("resnet9", ResNet18), "'resnet9' is taken already"),
    ],
)
def test_impossible_arguments_and_names_are_answered_with_what_is_allowed(call, message):
    register_model("tiny", lambda *, width: nn.Linear(width, 1))
    with pytest.raises(ValueError, match=message):
        call()
