"""Documents that are similar only through a third: one cluster, however long the chain, and no shared paragraph twice."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dedup.clusters import connect_components
from data.dedup.config import DedupConfig, NearRule
from data.documents.database import open_database
from tests.data.dedup.books import kept_texts, prose, run

Pairs = list[tuple[int, int]]


def _components(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The smallest number of each component, by union-find."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return {number: root(number) for number in parent}


def _chain(size: int, shuffled: bool) -> Pairs:
    order = list(range(size))
    if shuffled:
        Random(size).shuffle(order)
    return [(min(pair), max(pair)) for pair in pairwise(order)]


def _random(size: int) -> Pairs:
    random = Random(size)
    pairs = [sorted(random.sample(range(size), 2)) for _ in range(size // 2)]
    return [(low, high) for low, high in pairs]


def _connected(folder: Path, pairs: Pairs) -> tuple[dict[int, int], float]:
    """The cluster of each number in a pair, and the seconds of processor time it took."""
    with open_database(folder, threads=1, memory="500MB") as work:
        work.connection.register("given", pa.table({"a": [low for low, _ in pairs], "b": [high for _, high in pairs]}))
        work.connection.execute("CREATE TABLE near_pair AS SELECT a, b, 0.9::DOUBLE AS jaccard FROM given")
        work.connection.execute("CREATE TABLE exact AS SELECT 0::BIGINT AS number, 0::BIGINT AS head")
        start = time.process_time()
        connect_components(work)
        spent = time.process_time() - start
        return dict(work.connection.execute("SELECT number, cluster FROM component").fetchall()), spent


@pytest.mark.parametrize(
    "pairs", [_chain(300, False), _chain(300, True), _random(1000), [(0, 5), (1, 5), (1, 2)]], ids=["chain", "shuffled", "random", "few"]
)
def test_components_are_those_of_a_union_find(tmp_path: Path, pairs: Pairs) -> None:
    assert _connected(tmp_path, pairs)[0] == _components(pairs)


def test_a_chain_of_a_hundred_thousand_takes_time_by_its_length(tmp_path: Path) -> None:
    short, long = (_connected(tmp_path, _chain(size, False)) for size in (10_000, 100_000))
    assert set(long[0].values()) == {0} and len(long[0]) == 100_000
    # Ten times the chain took a hundred times as long when labels spread one step a round.
    assert long[1] < 30 * max(short[1], 0.1)


@pytest.mark.parametrize("action", ["remove", "cluster"])
def test_a_paragraph_of_two_documents_joined_through_a_third_stays_in_one_of_them(tmp_path: Path, action: str) -> None:
    parts = [prose(number, paragraphs=1) for number in range(14)]
    paragraphs = {"a": parts[:10], "b": parts[1:11], "c": parts[2:12]}
    texts = {name: "\n\n".join(own) for name, own in paragraphs.items()}
    near = NearRule.model_validate({"action": action, "threshold": 0.75})
    output, _ = run(tmp_path, texts, DedupConfig(near=near))
    kept = kept_texts(output)
    assert len({row["cluster"] for row in pq.read_table(output / "clusters.parquet").to_pylist()}) == 1
    assert set(kept) == ({"a", "c"} if action == "remove" else {"a", "b", "c"})
    for part in parts[2:10]:
        assert part in kept["a"] and part not in kept["c"], "c is no near copy of a"
    assert "b" not in kept or kept["b"] == texts["b"], "a near copy that is kept on purpose loses nothing to its original"
    assert parts[11] in kept["c"] and parts[10] in kept["c"] if action == "remove" else parts[11] in kept["c"]
