"""Damaged and hostile files: each is rejected with its reason, and nothing in it runs."""

import json
import math
import os
import pathlib
import pickle
import struct
import time
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifar_models import create_model, load_weights, read_header, save_weights
from cifar_models.architectures import registry

INCOMPLETE = "not a complete safetensors file"
FIELDS = "architecture", "arguments", "spec", "recipe", "metrics", "dtype"


class Tiny(torch.nn.Sequential):
    """A model of 40 numbers, so that files are small enough to damage everywhere."""

    def __init__(self, *, width=3, outputs=10):
        pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        super().__init__(*pool, torch.nn.BatchNorm1d(width), torch.nn.Linear(width, outputs))


@pytest.fixture(autouse=True)
def tiny(own_registry):
    registry._FACTORIES["tiny"] = Tiny


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.safetensors"
    save_weights(file, Tiny(), architecture="tiny")
    return file


def parts(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, body=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + body


def edit(path, **entries):
    """Replace entries of the container's header."""
    header, body = parts(path)
    path.write_bytes(joined({**header, **entries}, body))


def edit_document(path, **changes):
    """Replace fields of our document, or delete those that are `...`."""
    document = {**json.loads(parts(path)[0]["__metadata__"]["cifar_models"]), **changes}
    kept = {key: value for key, value in document.items() if value is not ...}
    edit(path, __metadata__={"cifar_models": json.dumps(kept)})


def assert_rejected(path, message, *, header_too=True):
    for read in (load_weights, read_header) if header_too else (load_weights,):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


class Bomb(pathlib.PosixPath):
    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.mark.parametrize("save", [lambda bomb, path: path.write_bytes(pickle.dumps(bomb)), torch.save])
def test_pickles_do_not_run(tmp_path, save):
    proof, path = tmp_path / "proof", tmp_path / "model.safetensors"
    save(Bomb(proof), path)
    assert_rejected(path, f"{INCOMPLETE}.*PyTorch checkpoints and other pickles are never opened")
    assert not proof.exists()
    data = zipfile.ZipFile(path).read("model/data.pkl") if save is torch.save else path.read_bytes()
    pickle.loads(data)  # the pickle is a real one
    assert proof.exists()


def test_missing_files_and_folders_are_named(tmp_path):
    for read in (load_weights, read_header):
        with pytest.raises(FileNotFoundError, match="absent"):
            read(tmp_path / "absent.safetensors")
        with pytest.raises(IsADirectoryError):
            read(tmp_path)


def test_truncated_and_prolonged_files_are_rejected(path):
    data = path.read_bytes()
    for damaged in (*(data[:end] for end in range(len(data))), data + b"\0"):
        path.write_bytes(damaged)
        assert_rejected(path, INCOMPLETE)


def bias(shape, *offsets):
    return {"3.bias": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" * 20, INCOMPLETE),
        (struct.pack("<Q", 2**62) + b"{" + b" " * 100, INCOMPLETE),  # a huge header
        (joined(b'{"a":' + b"[" * 200_000), INCOMPLETE),  # a deep header
        (joined({"__metadata__": {"cifar_models": {}}}), INCOMPLETE),
        (bias([10**9] * 9, 0, 40), INCOMPLETE),
        (bias([10], 0, 40), INCOMPLETE),  # overlaps another tensor
        (bias([10], 9000, 9040), INCOMPLETE),  # beyond the end
        ({"__metadata__": {"cifar_models": "[" * 100_000}}, "not valid JSON"),
        ({"__metadata__": {"cifar_models": "[]"}}, "not a JSON object but a list"),
        ({"__metadata__": {}}, "its metadata has no 'cifar_models' entry"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_files_and_impossible_entries_are_rejected(path, content, message):
    edit(path, **content) if isinstance(content, dict) else path.write_bytes(content)
    assert_rejected(path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"format_version": wrong}, f"format_version is {wrong!r}, this") for wrong in ("1", 1.0, True, 2)),
        *(({name: ...}, f"its header needs '{name}' of type ") for name in FIELDS),
        *(({name: []}, f"its header needs '{name}' of type ") for name in FIELDS),
        ({"dtype": "float64"}, "dtype must be one of float16, float32, got 'float64'"),
        ({"spec": {"classes": []}}, "an input spec must have exactly the keys"),
        *(({"recipe": {"lr": number}}, "recipe must consist of finite") for number in (math.nan, -math.inf)),
    ],
)
def test_impossible_headers_are_rejected(path, changes, message):
    edit_document(path, **changes)
    assert_rejected(path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet90"}, "no architecture 'resnet90'; known are resnet18, resnet9, "),
        ({"architecture": "resnet9"}, r"file .* lacks the tensors \['fc.bias', .* not have \['2.bias'"),
        ({"arguments": {"depth": 3}}, "tiny: got an unexpected keyword argument 'depth'"),
        ({"arguments": {"name": "resnet9"}}, "tiny: got an unexpected keyword argument 'name'"),
        ({"arguments": {"width": "three"}}, "cannot build tiny with {'width': 'three'}"),
        ({"arguments": {"width": 4}}, "cannot build tiny"),
        ({"arguments": {"outputs": 7}}, r"outputs \(1, 7\) where \(1, 10\) is expected"),
        ({"arguments": {"outputs": 10**30}}, "cannot build tiny"),
        ({"arguments": {"width": 10**18, "outputs": 10**18}}, "cannot build tiny"),
    ],
)
def test_models_that_cannot_be_built_are_rejected_and_their_headers_are_read(path, changes, message):
    edit_document(path, **changes)
    header = vars(read_header(path))
    assert header | changes == header
    assert_rejected(path, message, header_too=False)


def test_huge_arguments_take_no_memory(path):
    resource = pytest.importorskip("resource", reason="peak memory is measured by the Unix resource module")
    save_weights(path, create_model("whitenet"), architecture="whitenet")
    edit_document(path, arguments={"widths": [32, 10**8, 128]})  # 200 GB
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert_rejected(path, "'layer2.conv1.weight' is F32", header_too=False)
    # Less than 256 MiB more; Linux counts in KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"3.bias": None, "4.bias": torch.zeros(3)}, r"lacks .* \['3.bias'\] .* not have \['4.bias'\]"),
        ({"3.weight": torch.zeros(3, 10)}, r"'3.weight' is F32 \(3, 10\), expected F32 \(10, 3\)"),
        ({"3.bias": torch.full((10,), float("-inf"))}, "'3.bias' .* not finite"),
        ({"3.bias": torch.zeros(10).double()}, r"'3.bias' is F64 \(10,\), expected F32 \(10,\)"),
        ({"3.bias": torch.zeros(10).half()}, "'3.bias' is F16 .* expected F32"),
        ({"2.num_batches_tracked": torch.tensor(0.0)}, "tracked' is F32 .* expected I64"),
    ],
)
def test_wrong_tensors_are_named(path, tensors, message):
    metadata = parts(path)[0]["__metadata__"]
    state = {**Tiny().state_dict(), **tensors}
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    safetensors.torch.save_file(kept, path, metadata=metadata)
    assert_rejected(path, message, header_too=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_a_clear_error_or_a_valid_model(path, flips):
    save_weights(path, Tiny(), architecture="tiny")
    data = bytearray(path.read_bytes())
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path.write_bytes(data)
    try:
        weights = load_weights(path)
    except ValueError as error:
        assert str(error).startswith(f"cannot load {path}: ")  # noqa: PT017
    else:
        assert all(tensor.isfinite().all() for tensor in weights.model.state_dict().values())


@pytest.mark.parametrize("truncated", [True, False])
def test_a_file_that_changes_while_it_is_loaded_is_rejected(path, truncated):
    def create():
        if truncated:
            os.truncate(path, path.stat().st_size - 4)
        else:
            save_weights(path, create_model("whitenet"), architecture="whitenet")
        return Tiny()

    registry._FACTORIES["tiny"] = create
    with pytest.raises(ValueError, match=f"cannot load {path}"):
        load_weights(path)
