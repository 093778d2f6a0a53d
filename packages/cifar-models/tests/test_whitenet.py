import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cifar_models import create_model
from cifar_models.architectures.whitenet import WhiteNet, whitening_filters


def correlated_images(count=256, size=12):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 3, size, size, generator=generator)
    mixing = torch.tensor([[1.0, 0.8, 0.6], [0.0, 0.5, 0.3], [0.0, 0.0, 0.2]])
    blurred = nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    return torch.einsum("nchw,cd->ndhw", blurred, mixing)


def test_parameter_count_in_closed_form():
    inputs, widths = 24, (32, 128, 128)
    count = 3 * 4 * inputs + inputs
    for width in widths:
        count += 9 * inputs * width + 9 * width * width + 4 * width
        inputs = width
    count += 10 * inputs
    assert sum(p.numel() for p in WhiteNet(widths=widths).parameters()) == count


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.floats(0.1, 10.0))
def test_whitened_patches_are_uncorrelated_and_of_unit_variance(patch, scale):
    images = correlated_images() * scale
    responses = nn.functional.conv2d(
        images.double(), whitening_filters(images, patch=patch, eps=0.0).double()
    )
    flat = responses.permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(flat @ flat.T / flat.size(1), torch.eye(len(flat)).double(), atol=2e-2, rtol=0)


def test_filters_do_not_depend_on_the_sign_of_the_images():
    images = correlated_images()
    torch.testing.assert_close(whitening_filters(images), whitening_filters(-images), atol=1e-4, rtol=1e-4)


def test_initialize_sets_both_signs_and_leaves_the_rest():
    model = WhiteNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialize(correlated_images())
    filters = model.whiten.weight
    torch.testing.assert_close(filters[:12], -filters[12:])
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"whiten.weight"}


def test_the_whitening_layer_and_norm_scales_are_not_trained():
    model = WhiteNet()
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    frozen = {name for name, p in model.named_parameters() if p.grad is None}
    assert frozen == {"whiten.weight", "whiten.bias"} | {
        f"layer{i}.norm{j}.weight" for i in (1, 2, 3) for j in (1, 2)
    }


def test_convolutions_start_as_the_identity_on_their_inputs():
    model = WhiteNet(widths=(32, 64, 64))
    images = torch.randn(2, 24, 16, 16)
    torch.testing.assert_close(model.layer1.conv1(images)[:, :24], images)


@settings(deadline=None, max_examples=15)
@given(st.integers(16, 40), st.integers(16, 40), st.integers(1, 12))
def test_any_size_from_16_up_gives_logits(height, width, classes):
    model = WhiteNet(num_classes=classes, widths=(8, 8, 8)).eval()
    assert model(torch.zeros(2, 3, height, width)).shape == (2, classes)


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 9))
def test_an_image_is_classified_alike_alone_and_in_a_batch(size):
    model = WhiteNet(widths=(8, 16, 16)).eval()
    images = torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(size))
    torch.testing.assert_close(model(images)[:1], model(images[:1]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"widths": (8, 8)}, "widths"),
        ({"widths": (8, 0, 8)}, "widths"),
        ({"num_classes": 0}, "num_classes"),
        ({"norm_momentum": 0.0}, "norm_momentum"),
        ({"activation": "tanh"}, "activation must be one of relu, silu, gelu, got 'tanh'"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        WhiteNet(**arguments)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_every_activation_is_the_one_that_was_asked_for(activation):
    model = WhiteNet(widths=(4, 4, 4), activation=activation).eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    function = {"relu": nn.ReLU(), "silu": nn.SiLU(), "gelu": nn.GELU()}[activation]
    x = function(model.whiten(images))
    for group in (model.layer1, model.layer2, model.layer3):
        x = function(group.norm1(nn.MaxPool2d(2)(group.conv1(x))))
        x = function(group.norm2(group.conv2(x)))
    torch.testing.assert_close(model(images), model.head(x.amax((2, 3))))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 15, 32)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"got \("):
        WhiteNet(widths=(4, 4, 4))(torch.zeros(shape))


def test_registered_by_name():
    assert isinstance(create_model("whitenet", widths=[8, 8, 8]), WhiteNet)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(1, 3, 3, 3), "more images"),
        (torch.full((8, 3, 8, 8), float("nan")), "NaN"),
    ],
)
def test_whitening_refuses_what_it_cannot_use(images, named):
    with pytest.raises(ValueError, match=named):
        whitening_filters(images)
