"""Batches: every row once, like lengths together, order from (seed, epoch) alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.batching import POOL_BATCHES, epoch_batches

LENGTHS = st.lists(st.integers(0, 9), max_size=400).map(lambda x: np.array(x, dtype=np.int64))


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 7), st.integers(0, 2**64 - 1), st.integers(0, 50), st.booleans())
def test_every_row_once_and_lengths_fall(lengths, batch_size, seed, epoch, shuffle):
    batches = epoch_batches(lengths, batch_size, seed, epoch, shuffle)
    rows = np.concatenate([np.empty(0, dtype=np.int64), *batches])
    assert rows.dtype == np.int64
    assert sorted(rows) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert (np.diff(lengths[batch]) <= 0).all()
    for a, b in zip(batches, epoch_batches(lengths, batch_size, seed, epoch, shuffle), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 7))
def test_unshuffled_rows_are_sorted_with_ties_by_number(lengths, batch_size):
    rows = [int(r) for batch in epoch_batches(lengths, batch_size, 1, 0, shuffle=False) for r in batch]
    assert rows == sorted(range(len(lengths)), key=lambda r: (-lengths[r], r))


def test_epochs_and_seeds_differ_and_mix_rows_of_one_length():
    lengths = np.full(300, 5, dtype=np.int64)
    found = {(s, e): np.concatenate(epoch_batches(lengths, 8, s, e)).tolist() for s in (1, 2) for e in (0, 1)}
    assert len({tuple(rows) for rows in found.values()}) == 4
    first, second = ({frozenset(b.tolist()) for b in epoch_batches(lengths, 8, 1, e)} for e in (0, 1))
    assert not first & second  # not only the order of batches changes


def test_buckets_are_tight_and_batches_come_in_no_order_of_length():
    lengths = np.arange(POOL_BATCHES * 16, dtype=np.int64) % 97
    batches = epoch_batches(lengths, 16, 1, 0)
    assert max(int(np.ptp(lengths[b])) for b in batches) <= 3
    means = [lengths[b].mean() for b in batches]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5
