"""The order of rows: none dropped, none repeated, however they are divided among workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.loading.order import batch_indices, rank_share, sample_order

PINNED = [4, 3, 6, 2, 1, 0, 5, 7]
seeds = st.integers(0, 2**40)
row_counts = st.integers(1, 60)


@given(seed=seeds, epoch=st.integers(0, 1000), rows=row_counts)
def test_an_epoch_holds_each_row_once(seed: int, epoch: int, rows: int) -> None:
    assert sorted(sample_order(seed, epoch, rows).tolist()) == list(range(rows))


@given(seed=seeds, rows=row_counts, batch=st.integers(1, 130), epochs=st.integers(1, 4))
def test_batches_concatenate_to_the_concatenated_epochs(seed: int, rows: int, batch: int, epochs: int) -> None:
    steps = -(-epochs * rows // batch)
    joined = np.concatenate([batch_indices(seed, step * batch, batch, rows) for step in range(steps)])
    expected = np.concatenate([sample_order(seed, epoch, rows) for epoch in range(epochs)])
    assert joined[: len(expected)].tolist() == expected.tolist()


@given(seed=seeds, step=st.integers(0, 10**9), share=st.integers(1, 8), rows=row_counts)
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_the_shares_of_any_number_of_workers_are_the_same_batch(world: int, seed: int, step: int, share: int, rows: int) -> None:
    batch = batch_indices(seed, step * share * world, share * world, rows)
    parts = [rank_share(batch, rank, world) for rank in range(world)]
    assert {len(part) for part in parts} == {share}
    assert np.concatenate(parts).tolist() == batch.tolist()


def test_epochs_and_seeds_shuffle_differently() -> None:
    orders = [tuple(sample_order(seed, epoch, 50).tolist()) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_the_order_is_the_one_that_earlier_versions_gave() -> None:
    assert sample_order(7, 0, 8).tolist() == PINNED
    assert batch_indices(7, 0, 4, 8).tolist() == PINNED[:4]


def test_a_row_is_equally_likely_at_every_position() -> None:
    first = np.bincount([sample_order(0, epoch, 5)[0] for epoch in range(5000)], minlength=5)
    assert abs(first - 1000).max() < 150


def test_impossible_sizes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="rows=0"):
        batch_indices(0, 0, 4, 0)
    with pytest.raises(ValueError, match="global_batch=6 does not divide among 4"):
        rank_share(batch_indices(0, 0, 6, 10), 0, 4)
    with pytest.raises(ValueError, match="outside the 2 workers"):
        rank_share(batch_indices(0, 0, 6, 10), 2, 2)
