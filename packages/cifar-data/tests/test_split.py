import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_data.dataset.split import stratified_split


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_parts_are_sorted_disjoint_complete_and_in_proportion(labels, share, seed):
    labels, val_size = np.array(labels), round(share * len(labels))
    kept, held_out = stratified_split(labels, val_size=val_size, seed=seed)
    assert kept.dtype == held_out.dtype == np.int64
    assert len(held_out) == val_size
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held_out) > 0).all()
    exact = np.bincount(labels) * val_size / len(labels)
    shares = np.bincount(labels[held_out], minlength=len(exact))
    assert (shares >= np.floor(exact)).all()
    assert (shares <= np.ceil(exact)).all()


def test_the_seed_chooses_and_the_choice_is_not_the_first_images():
    labels = np.tile(np.arange(10), 100)
    first, again, second = (stratified_split(labels, val_size=100, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    # Two random choices of a tenth share a tenth, 10 of 100 images; 30 would be 7 standard deviations.
    assert len(np.intersect1d(first, second)) < 30
    assert first.max() > 900
