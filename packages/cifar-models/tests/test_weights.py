"""Round trips of weights files."""

import copy
import errno
import hashlib
import json
import os
import stat
from unittest.mock import Mock

import pytest
import safetensors
import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.optim.swa_utils import AveragedModel

import cifar_models as cm

RECIPE = {"epochs": 24, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "note": "Größe ✓", "clip": None}
METRICS = {"test_accuracy": 0.9412, "data_fingerprint": "a1b2"}


@pytest.fixture
def trained():
    """Values that no initialisation gives, also in the buffers."""
    model = cm.create_model("resnet9")
    with torch.no_grad():
        for i, tensor in enumerate(model.state_dict().values()):
            tensor.add_(i % 3 + 1) if tensor.ndim == 0 else tensor.mul_(1.25)
    return model


def states_equal(a, b):
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(n == m and x.dtype == y.dtype and torch.equal(x, y) for (n, x), (m, y) in pairs)


def test_float32_round_trip_is_exact(tmp_path, trained):
    path = tmp_path / "model.safetensors"
    digest = cm.save_weights(path, trained, architecture="resnet9", recipe=RECIPE, metrics=METRICS)
    weights = cm.load_weights(path)
    assert states_equal(weights.model, trained)
    assert not weights.model.training
    assert all(p.requires_grad for p in weights.model.parameters())
    header = cm.read_header(path)
    assert header == cm.WeightsHeader("resnet9", {}, cm.CIFAR10, RECIPE, METRICS, "float32", 1)
    assert vars(header) == {name: vars(weights)[name] for name in vars(header)}
    assert weights.sha256 == digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with safetensors.safe_open(path, framework="pt") as file:  # as other programs do
        assert set(file.keys()) == set(trained.state_dict())
        assert cm.WeightsHeader.from_json(file.metadata()["cifar_models"]) == header
    assert list(tmp_path.iterdir()) == [path]


def test_float16_halves_the_file_and_rounds_once(tmp_path, trained):
    small, again = tmp_path / "small", tmp_path / "again"
    cm.save_weights(small, trained, architecture="resnet9", dtype="float16")
    assert small.stat().st_size < 2.01 * sum(p.numel() for p in trained.parameters())
    weights = cm.load_weights(small)
    assert weights.dtype == "float16"
    assert states_equal(weights.model, copy.deepcopy(trained).half().float())
    cm.save_weights(again, weights.model, architecture="resnet9", dtype="float16")
    assert again.read_bytes() == small.read_bytes()


@pytest.mark.parametrize("name", cm.list_models())
def test_every_model_and_its_arguments_round_trip(tmp_path, name):
    arguments = {"widths": (4, 5, 6)} if name == "whitenet" else {"in_channels": 3}
    model = cm.create_model(name, **arguments)
    cm.save_weights(tmp_path / name, model, architecture=name, arguments=arguments)
    weights = cm.load_weights(tmp_path / name)
    assert states_equal(weights.model, model)
    assert weights.arguments == json.loads(json.dumps(arguments))


def wrap_layer(wrap):
    return lambda model: model.set_submodule("layer2", wrap(model.layer2)) or model


def compiled(model):
    return torch.compile(model, backend="eager")


DISTRIBUTED = (
    nn.parallel.DistributedDataParallel,
    lambda model: FullyShardedDataParallel(model, device_id=torch.device("cpu")),
    fully_shard,
)


@pytest.fixture
def process_group(tmp_path):
    """This process alone."""
    store = (tmp_path / "store").as_uri()
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.filterwarnings("ignore:.*NO_SHARD:UserWarning", "ignore:.*FSDP:FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: compiled(nn.DataParallel(AveragedModel(model))),
        lambda model: AveragedModel(nn.DataParallel(model)),
        lambda model: compiled(compiled(model)),
        lambda model: torch.compile(model.forward, backend="eager"),
        wrap_layer(compiled),
        wrap_layer(lambda layer: AveragedModel(nn.DataParallel(layer))),
        *DISTRIBUTED,
        *map(wrap_layer, DISTRIBUTED),
    ],
)
def test_wrapped_models_are_saved_as_the_whole_network_within(tmp_path, trained, wrap):
    cm.save_weights(tmp_path / "plain", trained, architecture="resnet9")
    cm.save_weights(tmp_path / "wrapped", wrap(trained), architecture="resnet9")
    assert (tmp_path / "wrapped").read_bytes() == (tmp_path / "plain").read_bytes()


def test_names_of_an_architecture_that_wrappers_use_too_are_kept(tmp_path):
    def create(both=False):
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model.add_module("module", nn.Linear(3, 10))
        if both:
            model.weight = nn.Parameter(torch.ones(3))
        return model

    cm.register_model("here", create)
    for name, model in {"plain": create(), "wrapped": nn.DataParallel(create())}.items():
        cm.save_weights(tmp_path / name, model, architecture="here")
        assert list(cm.load_weights(tmp_path / name).model.state_dict()) == ["module.weight", "module.bias"]
    model = create(both=True)
    cm.save_weights(tmp_path / "both", model, architecture="here", arguments={"both": True})
    assert states_equal(cm.load_weights(tmp_path / "both").model, model)


class Teacher(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.layer1, self.module = model.layer1, model


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda model: nn.ModuleList([model]), r"the ModuleList is not of this .*: .*\['0.fc.bias'"),
        (Teacher, r"the Teacher .* should not have \['module\.layer1\.0\.weight'"),
        (lambda model: lambda x: model(x), r"must be an nn.Module, got <function .*; give the network"),
        (lambda model: compiled(lambda x: model(x)), "must be an nn.Module, got <function "),
    ],
)
def test_other_wrappers_are_named(tmp_path, trained, wrap, message):
    with pytest.raises(ValueError, match=message):
        cm.save_weights(tmp_path / "w", wrap(trained), architecture="resnet9")


def test_the_same_content_gives_the_same_file_and_neither_model_nor_random_state_changes(tmp_path, trained):
    cm.save_weights(tmp_path / "before", trained, architecture="resnet9", recipe={"a": 1, "b": 2})
    trained.train().to(memory_format=torch.channels_last)
    before, random = copy.deepcopy(trained), torch.random.get_rng_state()
    umask = os.umask(0o022)
    try:
        cm.save_weights(tmp_path / "w", trained, architecture="resnet9", recipe={"b": 2, "a": 1})
    finally:
        os.umask(umask)
    cm.load_weights(tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == (tmp_path / "before").read_bytes()
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o644
    assert trained.training
    assert trained.layer1[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert states_equal(trained, before)
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, trained, monkeypatch, step):
    path = tmp_path / "w"
    path.write_bytes(b"the old one")
    full = Mock(side_effect=OSError(errno.ENOSPC, "no space left on device"))
    monkeypatch.setattr(step, full)
    with pytest.raises(OSError, match="no space left"):
        cm.save_weights(path, trained, architecture="resnet9")
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "bfloat16"}, "dtype must be one of float16, float32, got 'bfloat16'"),
        ({"architecture": "resnet18"}, "ResNet9 is not of this architecture: it lacks .*'bn1.bias'"),
        ({"arguments": {"in_channels": 1}}, r"images must have the shape \(N, 1, H, W\)"),
        ({"recipe": {"lr": float("nan")}}, "recipe must consist of finite JSON values"),
        ({"recipe": {"a": 1, 2: 3}}, "recipe must consist of finite JSON values"),
        ({"recipe": {"model": object()}}, "recipe must consist of finite JSON values: .*object"),
        ({"metrics": {"accuracy": torch.tensor(0.9)}}, "metrics must consist of .*: .*Tensor"),
    ],
)
def test_a_file_that_could_not_be_loaded_is_not_written(tmp_path, trained, changes, message):
    with pytest.raises(ValueError, match=message):
        cm.save_weights(tmp_path / "w", trained, **{"architecture": "resnet9", **changes})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("dtype", "value"), [("float32", float("nan")), ("float16", 65536.0)])
def test_weights_out_of_range_are_not_written(tmp_path, trained, dtype, value):
    trained.fc.bias.data[3] = value
    with pytest.raises(ValueError, match=f"'fc.bias' has values that are not finite in torch.{dtype}"):
        cm.save_weights(tmp_path / "w", trained, architecture="resnet9", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_buffers_outside_the_state_are_rejected(tmp_path):
    def create():
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
        model.register_buffer("scale", torch.ones(1), persistent=False)
        return model

    cm.register_model("hidden", create)
    with pytest.raises(ValueError, match=r"buffers that no weights file would hold: .*'scale'"):
        cm.save_weights(tmp_path / "w", create(), architecture="hidden")
