"""Fused networks against the originals: logits, maps, norms that stay, and the untouched model."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cifar_models import NormPair, create_model, fuse_conv_bn, load_weights, save_weights

pytestmark = pytest.mark.numeric

ARCHITECTURES = {"resnet9": {}, "resnet18": {}, "whitenet": {"widths": [8, 16, 24]}}
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def create(architecture, *, seed=None, lowest_scale=-1.5):
    """A model whose norms have statistics, scales from `lowest_scale` to 1.5 and biases, unless there is no seed."""
    model = create_model(architecture, **ARCHITECTURES[architecture])
    generator = torch.Generator().manual_seed(seed or 0)
    ranges = {"running_mean": (-0.5, 0.5), "running_var": (0.2, 2.0), "bias": (-0.5, 0.5)}
    for norm in norms(model) if seed is not None else ():
        for name, (low, high) in {**ranges, "weight": (lowest_scale, 1.5)}.items():
            getattr(model.get_submodule(norm), name).data.uniform_(low, high, generator=generator)
    return model


def images(count=3, size=32, *, seed=1):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def norms(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]


def outputs(network, x):
    """Logits, and maps of all `cam_layers`."""
    seen = []
    for layer in network.cam_layers.values():
        layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        return [network(x), *seen]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**16), lowest_scale=st.sampled_from([0.0, 0.3, -1.5]))
@each_architecture
def test_maps_and_logits_are_those_of_the_model(architecture, seed, lowest_scale):
    # In double precision little but the algebra is left to differ.
    model = create(architecture, seed=seed, lowest_scale=lowest_scale).double().eval()
    x, fused = images(2, 16, seed=seed).double(), fuse_conv_bn(model)
    assert list(fused.cam_layers) == list(model.cam_layers)
    for ours, theirs in zip(outputs(fused, x), outputs(model, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@each_architecture
def test_a_model_loaded_from_a_file_differs_by_rounding_only(architecture, dtype, tmp_path, assert_close):
    # Loaded with strides of its own and in the precision of the file.
    facts = {"architecture": architecture, "arguments": ARCHITECTURES[architecture], "dtype": dtype}
    save_weights(tmp_path / "w", create(architecture, seed=2), **facts)
    loaded = load_weights(tmp_path / "w").model
    with torch.no_grad():
        assert_close(fuse_conv_bn(loaded)(images()), loaded(images()))


@pytest.mark.parametrize(
    ("architecture", "kept"),
    [
        ("resnet9", ["layer1.2", "layer2.2", "layer3.2"]),
        ("resnet18", []),
        ("whitenet", ["layer1.norm1", "layer2.norm1", "layer3.norm1"]),
    ],
)
def test_only_norms_with_negative_scales_behind_max_pooling_stay(architecture, kept):
    model = create(architecture)
    assert norms(fuse_conv_bn(model)) == []
    for name in norms(model):
        model.get_submodule(name).weight.data[0] = -0.01
    assert norms(fuse_conv_bn(model)) == kept


@pytest.mark.parametrize("training", [True, False])
@each_architecture
def test_fusing_gives_a_copy_for_inference_and_leaves_the_model_as_it_was(architecture, training):
    model = create(architecture, seed=3).train(training)
    before = copy.deepcopy(model.state_dict())
    properties = [(p.requires_grad, p.stride()) for p in model.parameters()]
    fused = fuse_conv_bn(model)
    assert not any(module.training for module in fused.modules())
    assert {(p.dtype, p.requires_grad) for p in fused.parameters()} == {(torch.float32, False)}
    kernels = [p for p in fused.parameters() if p.ndim == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    twice = fuse_conv_bn(fused).state_dict()
    assert all(torch.equal(value, fused.state_dict()[name]) for name, value in twice.items())
    with torch.no_grad():
        for p in fused.parameters():
            p.fill_(7.0)
    assert all(module.training is training for module in model.modules())
    assert [(p.requires_grad, p.stride()) for p in model.parameters()] == properties
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Declared(nn.Sequential):
    norm_pairs = (NormPair("0", "1"),)


@pytest.mark.parametrize(("kind", "kept"), [(nn.Sequential, ["1"]), (Declared, [])])
def test_declared_pairs_are_fused_also_without_biases_and_scales(kind, kept):
    model = kind(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).double()
    with torch.no_grad():
        model(images().double())  # statistics of its own
        model.eval()
        torch.testing.assert_close(fuse_conv_bn(model)(images().double()), model(images().double()))
    assert norms(fuse_conv_bn(model)) == kept


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([nn.Linear(3, 4), nn.BatchNorm2d(4)], "'0', a Linear, and '1', a BatchNorm2d"),
        ([nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)], "'0', a Conv2d, and '1', a GroupNorm"),
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)], "'1' has no running statistics"),
    ],
)
def test_wrong_declarations_are_named(layers, named):
    with pytest.raises(ValueError, match=f"norm_pairs of Declared.*{named}"):
        fuse_conv_bn(Declared(*layers))
