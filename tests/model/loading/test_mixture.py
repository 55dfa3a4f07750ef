"""Mixtures: every interval has its shares, every source its epochs, and any position can be computed directly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.shards.schema import ShardError
from model.loading.mixture_config import PARTS, MixturePhase
from model.loading.order import MixtureOrder
from model.training.config import PretrainConfig

PINNED = [23, 44, 27, 7, 43, 33, 36, 47, 10, 65, 37, 55]
ROWS = {"books": 40, "talk": 7, "web": 23}
ENDS = np.cumsum(list(ROWS.values()))
weights = st.fixed_dictionaries({name: st.floats(0.01, 1) for name in ROWS})
seeds = st.integers(0, 2**40)


def mixed(*phases: tuple[float, dict[str, float]], seed: int = 3, sequences: int = 1000) -> MixtureOrder:
    return MixtureOrder(seed, [MixturePhase(until=until, weights=given) for until, given in phases], sequences, ROWS)


def sources_of(indices: np.ndarray) -> list[str]:
    return [list(ROWS)[number] for number in np.searchsorted(ENDS, indices, side="right")]


@settings(max_examples=25)  # each makes patterns of 65,536 positions many times
@given(seed=seeds, first=weights, second=weights, sizes=st.lists(st.integers(1, 90), min_size=1, max_size=8))
def test_batches_of_any_size_concatenate_to_one_order(
    seed: int, first: dict[str, float], second: dict[str, float], sizes: list[int]
) -> None:
    order = mixed((0.4, first), (1, second), seed=seed, sequences=200)
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    again = mixed((0.4, first), (1, second), seed=seed, sequences=200)
    joined = np.concatenate([again.indices(*part) for part in zip(starts, sizes, strict=True)])
    assert joined.tolist() == order.indices(0, sum(sizes)).tolist()


@given(given_weights=weights, begin=st.integers(0, 3 * PARTS), size=st.integers(1, 500))
def test_every_interval_has_each_source_in_its_share(given_weights: dict[str, float], begin: int, size: int) -> None:
    found = sources_of(mixed((1, given_weights)).indices(begin, size))
    for name, weight in given_weights.items():
        share = weight / sum(given_weights.values())
        assert abs(found.count(name) - share * size) <= 1 + share * len(ROWS) + size / PARTS


@given(seed=seeds, given_weights=weights)
def test_every_row_of_a_source_comes_once_before_any_comes_again(seed: int, given_weights: dict[str, float]) -> None:
    taken = mixed((1, given_weights), seed=seed).indices(0, 600)
    for number, (name, rows) in enumerate(ROWS.items()):
        mine = taken[np.array(sources_of(taken)) == name]
        first = int(ENDS[number]) - rows
        for start in range(0, len(mine) - rows + 1, rows):
            assert sorted(mine[start : start + rows].tolist()) == list(range(first, first + rows))


def test_the_order_inside_a_source_is_its_own_whatever_the_weights_are() -> None:
    def books(order: MixtureOrder) -> list[int]:
        return [row for row in order.indices(0, 400).tolist() if row < ROWS["books"]][:60]

    assert books(mixed((1, {"books": 1, "talk": 1, "web": 1}))) == books(mixed((0.3, {"books": 5, "talk": 1}), (1, {"books": 1, "web": 4})))


def test_weights_change_where_a_phase_ends() -> None:
    order = mixed((0.25, {"books": 1}), (0.5, {"books": 1, "web": 1}), (1, {"talk": 1, "web": 3}))
    found = sources_of(order.indices(0, 1000))
    counts = [[found[first:last].count(name) for name in ROWS] for first, last in ((0, 250), (250, 500), (500, 1000))]
    assert counts == [[250, 0, 0], [125, 0, 125], [0, 125, 375]]
    assert sources_of(order.indices(10**12, 8)).count("talk") == 2


def test_epochs_of_each_source_are_known_in_advance() -> None:
    order = mixed((0.5, {"books": 3, "talk": 1}), (1, {"web": 1, "talk": 1}))
    found = sources_of(order.indices(0, 1000))
    assert order.epochs(1000) == {name: found.count(name) / rows for name, rows in ROWS.items()}


def test_the_order_is_the_one_that_earlier_versions_gave() -> None:
    order = mixed((0.5, {"books": 2, "talk": 1}), (1, {"web": 1, "books": 1}), seed=7, sequences=12)
    assert order.indices(0, 12).tolist() == PINNED


@pytest.mark.parametrize(
    ("given_weights", "message"),
    [
        ({"books": 1, "web": 1}, "no weight to the source 'talk'"),
        ({"books": 1, "web": 1, "talk": 1, "verse": 1}, "a weight to 'verse', but the sources are books, talk, web"),
    ],
)
def test_sources_that_the_shards_lack_and_sources_without_a_weight_are_refused(given_weights: dict[str, float], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        mixed((1, given_weights))


def test_shards_whose_rows_mix_sources_and_sources_without_rows_are_refused() -> None:
    phase = MixturePhase(until=1, weights={"books": 1})
    with pytest.raises(ShardError, match=r"pack\.by_source=true"):
        MixtureOrder(0, [phase], 10, {})
    with pytest.raises(ShardError, match="no rows"):
        MixtureOrder(0, [phase], 10, {"books": 0})


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{"until": 0.5, "weights": {"a": 1}}], "the last at 1"),
        ([{"until": until, "weights": {"a": 1}} for until in (0.9, 0.4, 1)], "after the one before"),
        ([{"until": 1, "weights": {"a": 0}}], "nothing to train on"),
        ([{"until": 1, "weights": {"a": -1, "b": 2}}], "0 or more"),
        ([{"until": 1, "weights": {"a": 1, "b": 1e-6}}], "too small to represent"),
    ],
)
def test_phases_that_mean_nothing_are_refused(phases: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PretrainConfig(mixture=phases)


@given(given_weights=st.dictionaries(st.text(max_size=3), st.floats(0.01, 10), min_size=1, max_size=40))
def test_shares_add_up_and_every_source_with_a_weight_has_one(given_weights: dict[str, float]) -> None:
    parts = MixturePhase(until=1, weights=given_weights).parts()
    assert sum(parts.values()) == PARTS and parts.keys() == given_weights.keys() and min(parts.values()) >= 1
