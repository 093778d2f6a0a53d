import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_space import ArrayMemory

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 6)))


@given(STEPS, st.integers(0, 16))
def test_forgets_what_was_longest_unused(steps: list[tuple[bool, int, int]], max_bytes: int) -> None:
    memory, model = ArrayMemory(max_bytes), []  # the model: (key, size), least recently used first
    for put, key, size in steps:
        if put:
            memory.put(key, np.full(size, key, np.uint8))
            model = [entry for entry in model if entry[0] != key] + [(key, size)]
            while sum(size for _, size in model) > max_bytes:
                model.pop(0)
        else:
            got, known = memory.get(key), dict(model).get(key)
            assert (got is None) == (known is None)
            if known is not None:
                assert np.array_equal(got, np.full(known, key))
                model = [entry for entry in model if entry[0] != key] + [(key, known)]
        assert memory.size_bytes == sum(size for _, size in model)


def test_keeps_a_copy_that_nobody_can_change() -> None:
    memory, array = ArrayMemory(100), np.zeros(3)
    kept = memory.put("a", array)
    array[:] = 1
    assert np.array_equal(memory.get("a"), np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1


def test_returns_what_is_too_large_to_keep() -> None:
    memory = ArrayMemory(7)
    assert np.array_equal(memory.put("a", np.ones(1)), [1.0])
    assert memory.get("a") is None
    with pytest.raises(ValueError, match="max_bytes"):
        ArrayMemory(-1)
