"""Folded networks against themselves: logits, norms that stay, and what must not change."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cifar_models import NormPair, create_model, fold_batch_norms, load_weights, save_weights

ARCHITECTURES = {"resnet9": {}, "resnet18": {}, "whitenet": {"widths": [8, 16, 24]}}


def with_random_norms(model: nn.Module, *, seed: int, lowest_scale: float) -> nn.Module:
    """Give every norm statistics, scales from `lowest_scale` to 1.5 and biases that are far from their defaults."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(values: Tensor, low: float, high: float) -> None:
        values.copy_(low + (high - low) * torch.rand(values.shape, generator=generator))

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                uniform(module.running_mean, -0.5, 0.5)
                uniform(module.running_var, 0.2, 2.0)
                uniform(module.weight, lowest_scale, 1.5)
                uniform(module.bias, -0.5, 0.5)
    return model


def images(count: int = 3, size: int = 32, *, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def norms(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**16), lowest_scale=st.sampled_from([0.0, 0.3, -1.5]))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_logits_are_those_of_the_model(architecture, seed, lowest_scale):
    # In double precision nothing but the algebra is left to differ.
    model = create_model(architecture, **ARCHITECTURES[architecture]).double().eval()
    with_random_norms(model, seed=seed, lowest_scale=lowest_scale)
    x = images(2, 16, seed=seed).double()
    with torch.no_grad():
        torch.testing.assert_close(fold_batch_norms(model)(x), model(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_float32_differs_by_rounding_only(architecture):
    model = create_model(architecture, **ARCHITECTURES[architecture]).eval()
    with_random_norms(model, seed=0, lowest_scale=-1.5)
    with torch.no_grad():
        logits, folded = model(images()), fold_batch_norms(model)(images())
    torch.testing.assert_close(folded, logits, rtol=0, atol=1e-4 * float(logits.abs().max()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_norm_is_left_where_scales_are_positive(architecture):
    model = create_model(architecture, **ARCHITECTURES[architecture])
    assert len(norms(model)) > 0
    assert norms(fold_batch_norms(model)) == []


@pytest.mark.parametrize(
    ("architecture", "kept"),
    [
        ("resnet9", ["layer1.2", "layer2.2", "layer3.2"]),
        ("resnet18", []),
        ("whitenet", ["layer1.norm1", "layer2.norm1", "layer3.norm1"]),
    ],
)
def test_norms_with_negative_scales_stay_behind_a_max_pooling_only(architecture, kept):
    model = create_model(architecture, **ARCHITECTURES[architecture])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data[0] = -0.01
    assert norms(fold_batch_norms(model)) == kept


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_model_stays_as_it_was(architecture, training):
    model = create_model(architecture, **ARCHITECTURES[architecture]).train(training)
    before = copy.deepcopy(model.state_dict())
    gradients = [p.requires_grad for p in model.parameters()]
    strides = [p.stride() for p in model.parameters()]
    folded = fold_batch_norms(model)
    with torch.no_grad():
        for p in folded.parameters():
            p.fill_(7.0)
    assert all(module.training is training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == gradients
    assert [p.stride() for p in model.parameters()] == strides
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_copy_is_for_inference():
    folded = fold_batch_norms(create_model("resnet9").train())
    assert not any(module.training for module in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    assert {p.dtype for p in folded.parameters()} == {torch.float32}
    convolutions = [module for module in folded.modules() if isinstance(module, nn.Conv2d)]
    assert all(c.weight.is_contiguous(memory_format=torch.channels_last) for c in convolutions)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_folding_twice_is_folding_once(architecture):
    model = create_model(architecture, **ARCHITECTURES[architecture])
    once = fold_batch_norms(with_random_norms(model, seed=3, lowest_scale=-1.0))
    twice = fold_batch_norms(once)
    assert all(torch.equal(value, once.state_dict()[name]) for name, value in twice.state_dict().items())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_layers_to_explain_give_the_same_maps(architecture):
    model = create_model(architecture, **ARCHITECTURES[architecture]).double().eval()
    with_random_norms(model, seed=5, lowest_scale=-1.5)
    folded = fold_batch_norms(model)
    assert list(folded.cam_layers) == list(model.cam_layers)
    maps: list[list[Tensor]] = []
    for network in (model, folded):
        seen: list[Tensor] = []
        for layer in network.cam_layers.values():
            layer.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        with torch.no_grad():
            network(images().double())
        maps.append(seen)
    for ours, theirs in zip(*maps, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_weights_of_a_file_fold(tmp_path):
    # Loaded with their own strides and in float16's precision.
    model = with_random_norms(create_model("resnet9"), seed=2, lowest_scale=0.1)
    save_weights(tmp_path / "m.safetensors", model, architecture="resnet9", dtype="float16")
    loaded = load_weights(tmp_path / "m.safetensors").model
    with torch.no_grad():
        logits = loaded(images())
        folded = fold_batch_norms(loaded)(images())
    torch.testing.assert_close(folded, logits, rtol=0, atol=1e-4 * float(logits.abs().max()))


def test_a_model_that_declares_nothing_is_copied():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    copied = fold_batch_norms(model)
    assert norms(copied) == ["1"]
    assert copied[0] is not model[0]
    assert torch.equal(copied(images()), model.eval()(images()))


class Declared(nn.Sequential):
    norm_pairs = (NormPair("0", "1"),)


def test_a_declared_pair_may_lack_biases_and_scales():
    model = Declared(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).double()
    with torch.no_grad():
        model(images().double())  # statistics of its own
        model.eval()
        torch.testing.assert_close(fold_batch_norms(model)(images().double()), model(images().double()))
    assert norms(fold_batch_norms(model)) == []


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
        fold_batch_norms(Declared(*layers))
