"""Nothing in a pickle is executed, and nothing in it but uint8 arrays and plain objects is accepted."""

import contextlib
import os
import pathlib
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_data import DataError
from cifar_data.sources.batches import PickledArray, load_pickle


class Touch(pathlib.PosixPath):
    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_rejected_and_not_made(tmp_path, protocol):
    with pytest.raises(DataError, match=r"the pickle asks for \w+\.mkdir"):
        load_pickle(pickle.dumps({"data": Touch(tmp_path / "made")}, protocol=protocol))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_today_round_trip(protocol, order):
    array = np.asarray(np.arange(24, dtype=np.uint8).reshape(4, 6), order=order)
    loaded = load_pickle(pickle.dumps({"data": array}, protocol=protocol))["data"]
    np.testing.assert_array_equal(loaded.to_uint8(), array)


def test_arrays_of_python_2_are_read_as_numpy_reads_them(mini):
    data = mini.batch_files()["test_batch"]
    assert b"numpy.core" in data
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of the name numpy.core
        oracle = pickle.loads(data, encoding="latin1")
    loaded = load_pickle(data)
    np.testing.assert_array_equal(loaded["data"].to_uint8(), oracle["data"])
    assert loaded["labels"] == oracle["labels"]


@pytest.mark.parametrize("dtype", [np.int64, np.float32, object, "V4", "S1"])
def test_arrays_of_other_types_are_rejected(dtype):
    loaded = load_pickle(pickle.dumps({"data": np.zeros(3, dtype)}, protocol=2))
    with pytest.raises(DataError, match="uint8"):
        loaded["data"].to_uint8()


@pytest.mark.parametrize("shape", [(10**12,), (-1,), (5,), ("a",), 4])
def test_shapes_that_do_not_fit_the_bytes_are_rejected_without_allocating(shape):
    array = PickledArray()
    dtype = load_pickle(pickle.dumps({"dtype": np.dtype(np.uint8)}, protocol=2))["dtype"]
    array.__setstate__((1, shape, dtype, False, b"1234"))
    with pytest.raises(DataError, match="shape"):
        array.to_uint8()


def test_changing_what_is_given_does_not_last():
    # BUILD with a slot state sets attributes of the function that the pickle was given.
    state = pickle.dumps((None, {"__defaults__": (1, 2)}), protocol=2)[2:-1]
    for name in (b"numpy\ndtype", b"numpy.core.multiarray\n_reconstruct", b"_codecs\nencode"):
        with contextlib.suppress(DataError):
            load_pickle(b"\x80\x02c" + name + b"\n" + state + b"b.")
    array = np.arange(4, dtype=np.uint8)
    loaded = load_pickle(pickle.dumps({"data": array, "bytes": b"\xff"}, protocol=2))
    np.testing.assert_array_equal(loaded["data"].to_uint8(), array)
    assert loaded["bytes"] == b"\xff"


@settings(deadline=None)
@given(st.data())
def test_damaged_batches_raise_nothing_else(mini, data):
    whole = mini.batch_files()["batches.meta"]
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:position] + data.draw(st.binary(max_size=4)) + whole[position + 1 :]
    with contextlib.suppress(DataError):
        load_pickle(damaged)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "number 2147483647"),  # would reserve gigabytes
        (b"\x80\x02T\x64\x00\x00\x00short.", "truncated"),
        (b"\x80\x02NQ.", "outside of the file"),
        (b"\x80\x02].", "not a dictionary"),
        *((f"cbuiltins\n{name}\n(S'1'\ntR.".encode(), f"builtins.{name}") for name in ("eval", "getattr")),
    ],
)
def test_other_pickles_are_rejected(data, message):
    with pytest.raises(DataError, match=message):
        load_pickle(data)
