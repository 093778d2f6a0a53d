"""Files that are not what they should be: each is refused with its reason, and nothing in it runs."""

import json
import os
import pathlib
import pickle
import struct
import time
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_models import create_model, load_weights, read_header, save_weights
from cifar_models.architectures import registry


class Tiny(torch.nn.Sequential):
    """A model of 40 numbers, so that files are small enough to damage everywhere."""

    def __init__(self, *, width=3, outputs=10):
        pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        super().__init__(*pool, torch.nn.BatchNorm1d(width), torch.nn.Linear(width, outputs))


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_FACTORIES", {**registry._FACTORIES, "tiny": Tiny})


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.safetensors"
    save_weights(file, Tiny(), architecture="tiny")
    return file


def parts(data):
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, body):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + body


def edit(path, change):
    """Let `change` edit the container's header in place."""
    header, body = parts(path.read_bytes())
    change(header)
    path.write_bytes(joined(header, body))


def edit_document(path, **changes):
    def change(header):
        document = {**json.loads(header["__metadata__"]["cifar_models"]), **changes}
        document = {key: value for key, value in document.items() if value is not ...}
        header["__metadata__"]["cifar_models"] = json.dumps(document)

    edit(path, change)


def assert_refused(path, message, *, header_too=True):
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    if header_too:
        with pytest.raises(ValueError, match=message):
            read_header(path)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_in_disguise_does_not_run(tmp_path, protocol):
    proof, path = tmp_path / "proof", tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb(proof), protocol=protocol))
    assert_refused(
        path, "not a safetensors file" + ("; it looks like a Python pickle" if protocol >= 2 else "")
    )
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the disguise was a real one
    assert proof.exists()


def test_a_torch_checkpoint_in_disguise_does_not_run(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "model.safetensors"
    torch.save({"state": Bomb(proof)}, path)
    assert zipfile.is_zipfile(path)
    assert_refused(path, "not a safetensors file; it looks like a zip archive, such as torch.save writes")
    assert not proof.exists()


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(path):
    # 0x0280 little-endian begins with the two bytes of a pickle of protocol 2.
    header, body = parts(path.read_bytes())
    text = json.dumps(header).encode()
    length = (len(text) // 65536 + 1) * 65536 + 0x0280
    path.write_bytes(joined(text.ljust(length), body))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert load_weights(path).architecture == "tiny"


@pytest.mark.parametrize("data", [b"", b"{", b"12345678", b"\x89PNG\r\n\x1a\n" * 20, b"\0" * 100])
def test_other_files(tmp_path, data):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    assert_refused(path, "not a safetensors file")


def test_missing_file_and_folder(tmp_path):
    for read in (load_weights, read_header):
        with pytest.raises(FileNotFoundError, match="absent"):
            read(tmp_path / "absent.safetensors")
        with pytest.raises(IsADirectoryError):
            read(tmp_path)


def test_truncated_at_every_byte(path):
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        assert_refused(path, "truncated" if end >= 9 else "not a safetensors file")


def test_trailing_bytes(path):
    path.write_bytes(path.read_bytes() + b"\0")
    assert_refused(path, "followed by bytes that belong to no tensor")


def test_header_too_long_is_not_read(path):
    path.write_bytes(struct.pack("<Q", 2**62) + b"{" + b" " * 100)
    assert_refused(path, "its header is 4611686018427387904 bytes long, more than the 1048576 allowed")


@pytest.mark.parametrize(
    "text",
    [
        b"{" + b'"a":{' * 100_000,
        b'{"a":' + b"[" * 200_000,
        b'{"a":1' + b"0" * 10_000 + b"}",
        b'{"a":NaN}',
        b'{"a":\xff}',
        b'{"a":{},"a":{}}',
        b"{]",
    ],
)
def test_json_bombs(tmp_path, text):
    path = tmp_path / "model.safetensors"
    path.write_bytes(joined(text, b""))
    assert_refused(path, "not valid JSON")


def test_json_bomb_inside_the_document(path):
    edit(path, lambda header: header["__metadata__"].update(cifar_models="[" * 100_000))
    assert_refused(path, "not valid JSON")


@pytest.mark.parametrize("document", ["[]", "1", '"text"', "null"])
def test_document_of_another_kind(path, document):
    edit(path, lambda header: header["__metadata__"].update(cifar_models=document))
    assert_refused(path, "not a JSON object but a ")


def test_plain_safetensors_file(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(Tiny().state_dict(), path, metadata={"format": "pt"})
    assert_refused(path, "its metadata has no 'cifar_models' entry")
    safetensors.torch.save_file(Tiny().state_dict(), path)
    assert_refused(path, "its metadata has no 'cifar_models' entry")


@pytest.mark.parametrize("metadata", [[], "text", {"cifar_models": 1}, {"cifar_models": {}}])
def test_impossible_metadata(path, metadata):
    edit(path, lambda header: header.update(__metadata__=metadata))
    assert_refused(path, "metadata is not a mapping of strings")


@pytest.mark.parametrize("version", [..., None, 0, -1, "1", 1.0, True])
def test_no_format_version(path, version):
    edit_document(path, format_version=version)
    assert_refused(path, "format_version must be 1, got ")


def test_newer_format_version(path):
    edit_document(path, format_version=2)
    assert_refused(path, "format_version is 2, this cifar-models reads 1: update it")


@pytest.mark.parametrize("name", ["architecture", "arguments", "spec", "recipe", "metrics", "dtype"])
@pytest.mark.parametrize("value", [..., None, 1, []])
def test_missing_or_misshapen_entries(path, name, value):
    edit_document(path, **{name: value})
    assert_refused(path, f"its header needs '{name}' of type ")


def test_unknown_dtype(path):
    edit_document(path, dtype="float64")
    assert_refused(path, "dtype must be one of float16, float32, got 'float64'")


def test_impossible_spec(path):
    edit_document(path, spec={"classes": []})
    assert_refused(path, "an input spec must have exactly the keys")


def test_unknown_architecture(path):
    edit_document(path, architecture="resnet90")
    assert_refused(path, "no architecture 'resnet90'; did you mean 'resnet9'", header_too=False)


def test_another_architecture(path):
    edit_document(path, architecture="resnet9")
    assert_refused(
        path, r"tensors missing: \['fc.bias', .*; not of this architecture: \['2.bias'", header_too=False
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, "tiny has no argument 'depth'"),
        ({"name": "resnet9"}, "tiny has no argument 'name'"),
        ({"width": "three"}, "cannot build tiny with {'width': 'three'}"),
        ({"width": -1}, "cannot build tiny with {'width': -1}"),
        ({"width": 4}, "cannot build tiny"),
        ({"outputs": 7}, r"outputs \(1, 7\) where \(1, 10\) is expected"),
        ({"outputs": 10**30}, "cannot build tiny"),
        ({"width": 10**18, "outputs": 10**18}, "cannot build tiny"),
    ],
)
def test_impossible_arguments(path, arguments, message):
    edit_document(path, arguments=arguments)
    assert_refused(path, message, header_too=False)


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("resnet9", {"num_classes": 10**9}, r"outputs \(1, 1000000000\) where"),  # 2 TB of classifier
        ("whitenet", {"widths": [32, 10**8, 128]}, "'layer2.conv1.weight' has the shape"),
    ],
)
def test_huge_arguments_take_no_memory(tmp_path, architecture, arguments, message):
    resource = pytest.importorskip(
        "resource", reason="peak memory is measured through the Unix resource module"
    )
    path = tmp_path / "w"
    save_weights(path, create_model(architecture), architecture=architecture)
    edit_document(path, arguments=arguments)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert_refused(path, message, header_too=False)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18
    )  # less than 256 MiB more, in KiB
    assert time.monotonic() - start < 10


def replaced(path, **tensors):
    """Write Tiny's file anew with some of its tensors replaced, or left out by None."""
    header, _ = parts(path.read_bytes())
    state = {**Tiny().state_dict(), **tensors}
    data = {name: tensor for name, tensor in state.items() if tensor is not None}
    safetensors.torch.save_file(data, path, metadata=header["__metadata__"])


def test_missing_and_extra_tensors_are_named(path):
    replaced(path, **{"3.bias": None, "4.bias": torch.zeros(3)})
    assert_refused(path, r"missing: \['3.bias'\]; not of this architecture: \['4.bias'\]", header_too=False)


def test_wrong_shape_is_named(path):
    replaced(path, **{"3.weight": torch.zeros(3, 10)})
    assert_refused(path, r"'3.weight' has the shape \(3, 10\), expected \(10, 3\)", header_too=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_are_named(path, value):
    weight = torch.zeros(10, 3)
    weight[4, 1] = value
    replaced(path, **{"3.weight": weight})
    assert_refused(path, "'3.weight' has values that are not finite", header_too=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32, torch.bool])
def test_foreign_dtypes(path, dtype):
    replaced(path, **{"3.bias": torch.zeros(10, dtype=dtype)})
    assert_refused(path, r"'3.bias' has the dtype '\w+'; allowed: F16, F32, I64")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("3.bias", torch.zeros(10, dtype=torch.float16), "F16, expected F32"),
        ("3.bias", torch.zeros(10, dtype=torch.int64), "I64, expected F32"),
        ("2.num_batches_tracked", torch.tensor(0.0), "F32, expected I64"),
    ],
)
def test_exchanged_dtypes(path, name, tensor, message):
    replaced(path, **{name: tensor})
    assert_refused(path, f"'{name}' has the dtype {message}", header_too=False)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([], "not described by"),
        ({"dtype": "F32", "shape": [10]}, "not described by"),
        ({"dtype": ["F32"], "shape": [10], "data_offsets": [0, 40]}, "allowed: F16, F32, I64"),
        ({"dtype": "F32", "shape": [-10], "data_offsets": [0, 40]}, "impossible shape"),
        ({"dtype": "F32", "shape": [10.0], "data_offsets": [0, 40]}, "impossible shape"),
        ({"dtype": "F32", "shape": 10, "data_offsets": [0, 40]}, "impossible shape"),
        ({"dtype": "F32", "shape": [10], "data_offsets": [0, 40, 80]}, "impossible shape"),
        ({"dtype": "F32", "shape": [10], "data_offsets": [40, 0]}, "do not fit its shape"),
        ({"dtype": "F32", "shape": [10**9] * 9, "data_offsets": [0, 40]}, "do not fit its shape"),
        ({"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, "overlap or leave gaps"),
        ({"dtype": "F32", "shape": [10], "data_offsets": [9000, 9040]}, "overlap or leave gaps"),
    ],
)
def test_impossible_tensor_entries(path, entry, message):
    _, body = parts(path.read_bytes())
    assert len(body) > 40
    edit(path, lambda header: header.update({"3.bias": entry}))
    assert_refused(path, message)


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_a_clear_error_or_a_valid_model(tmp_path_factory, flips):
    path = tmp_path_factory.mktemp("damaged") / "w"
    registry._FACTORIES["tiny"] = Tiny
    save_weights(path, Tiny(), architecture="tiny")
    data = bytearray(path.read_bytes())
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path.write_bytes(data)
    try:
        weights = load_weights(path)
    except ValueError as error:
        message = str(error)
    else:
        message = f"cannot load {path}: none"
        assert all(tensor.isfinite().all() for tensor in weights.model.state_dict().values())
    assert message.startswith(f"cannot load {path}: ")


def test_a_file_that_shrinks_meanwhile_is_refused(path, monkeypatch):
    save_weights(path, Tiny(), architecture="tiny", recipe={"log": "x" * 100_000})  # more than is read ahead
    size = path.stat().st_size
    create = registry._FACTORIES["tiny"]

    def shrinking():
        os.truncate(path, size - 4)
        return create()

    registry._FACTORIES["tiny"] = shrinking
    assert_refused(path, "cannot load", header_too=False)


def test_the_undamaged_file_loads(path):
    assert load_weights(path).model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
