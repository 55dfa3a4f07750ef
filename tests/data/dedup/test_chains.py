"""Documents that are similar only through a third: one cluster, however long the chain, and no shared paragraph twice."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import combinations, islice, pairwise, product
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.dedup.clusters import connect_components, rank_copies
from data.dedup.config import DedupConfig, NearRule
from data.dedup.sql import SQL
from data.documents.database import Database, open_database
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


class Contest(NamedTuple):
    """Clusters to choose from: the shingles and characters of each document, the threshold, and the pairs that MinHash proposed."""

    shingles: list[frozenset[int]]
    characters: list[int]
    threshold: float
    proposed: set[tuple[int, int]]

    def jaccard(self, a: int, b: int) -> float:
        """The similarity of two documents, as float as the queries have it."""
        left, right = self.shingles[a], self.shingles[b]
        return len(left & right) / len(left | right)

    def near(self, a: int, b: int) -> bool:
        """Whether two documents are near duplicates."""
        return not self.shingles[a].isdisjoint(self.shingles[b]) and self.jaccard(a, b) >= self.threshold


class Proposal(NamedTuple):
    """MinHash, as far as choosing knows it: it proposes each pair with a probability."""

    probability: float
    seed: int

    def __call__(self, pairs: Pairs) -> set[tuple[int, int]]:
        """Return those that it proposes."""
        random = Random(self.seed)
        return {pair for pair in pairs if random.random() < self.probability}


PROPOSALS = st.builds(Proposal, st.sampled_from((0.5, 0.8, 1.0)), st.integers(0, 999))


def _contest(graph: set[tuple[int, int]], noise: set[tuple[int, int]], count: int, characters: list[int], proposed: Proposal) -> Contest:
    """Documents whose near duplicates are the edges of a graph; pairs of `noise` share half as much, and all share one shingle."""
    sets: list[set[int]] = [{0} for _ in range(count)]
    fresh = iter(range(1, 10**6))
    for pairs, times in ((graph, 2), (noise - graph, 1)):
        for (a, b), _ in product(sorted(pairs), range(times)):
            sets[a].add(shared := next(fresh))
            sets[b].add(shared)
    size = max(map(len, sets)) + 1
    for own in sets:
        own.update(islice(fresh, size - len(own)))
    # An edge shares three of `size` shingles, noise two, everything else one.
    return Contest([frozenset(own) for own in sets], characters, 3 / (2 * size - 3), proposed(sorted(graph | noise)))


def _joined(graph: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in graph if pair[0] != pair[1]}


@st.composite
def _graph(draw: st.DrawFn) -> tuple[int, set[tuple[int, int]], set[tuple[int, int]]]:
    """A chain, star, ring, clique, cliques in a chain or a graph at random, numbered in order or at random, and pairs of noise."""
    count = draw(st.integers(2, 16))
    some = st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=2 * count)
    shapes: list[list[tuple[int, int]]] = [
        list(pairwise(range(count))),
        [(0, k) for k in range(1, count)],
        [*pairwise(range(count)), (0, count - 1)],
        list(combinations(range(count), 2)),
        [(a, b) for a, b in combinations(range(count), 2) if a // 4 == b // 4 or b == a + 1],
        [],
    ]
    shape = draw(st.sampled_from(shapes))
    order = draw(st.one_of(st.just(list(range(count))), st.permutations(range(count))))
    graph = _joined({(order[a], order[b]) for a, b in [*shape, *(draw(some) if not shape else ())]})
    return count, graph, _joined(draw(some))


@st.composite
def _graphs(draw: st.DrawFn) -> Contest:
    """Several graphs beside each other, with lengths of which many are equal."""
    graph, noise, count = set[tuple[int, int]](), set[tuple[int, int]](), 0
    for more, edges, others in draw(st.lists(_graph(), min_size=1, max_size=8)):
        graph |= {(a + count, b + count) for a, b in edges}
        noise |= {(a + count, b + count) for a, b in others}
        count += more
    characters = draw(st.lists(st.integers(1, draw(st.sampled_from((1, 3, 1000)))), min_size=count, max_size=count))
    return _contest(graph, noise, count, characters, draw(PROPOSALS))


@st.composite
def _sets(draw: st.DrawFn) -> Contest:
    """Sets that differ in a few of twelve shingles, so that many similarities are about the threshold."""
    bases = draw(st.lists(st.frozensets(st.integers(0, 11), min_size=6), min_size=1, max_size=3))
    changed = st.tuples(st.sampled_from(bases), st.frozensets(st.integers(0, 11), max_size=3))
    shingles = [base ^ some or base for base, some in draw(st.lists(changed, min_size=4, max_size=30))]
    characters = draw(st.lists(st.integers(1, 4), min_size=len(shingles), max_size=len(shingles)))
    threshold = draw(st.sampled_from((0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9)))
    return Contest(shingles, characters, threshold, draw(PROPOSALS)(list(combinations(range(len(shingles)), 2))))


BASE = frozenset(range(7))
# Of the first document's shingles all that the second lacks are rarer than those that both hold, and they are as similar as they must be.
TIGHT = Contest([BASE | {7, 8, 9}, BASE, BASE | {7}], [3, 2, 1], 0.7, {(0, 2), (1, 2)})
Chosen = dict[int, tuple[int, float]]


def _brute_force(contest: Contest) -> Chosen:
    """Each removed document with the one that is kept in its place: the first that stays of all near copies in its cluster."""
    cluster = _components(pair for pair in contest.proposed if contest.near(*pair))
    stays: list[int] = []
    replaced: Chosen = {}
    for number in sorted(cluster, key=lambda number: (-contest.characters[number], number)):
        first = next((kept for kept in stays if cluster[kept] == cluster[number] and contest.near(kept, number)), None)
        if first is None:
            stays.append(number)
        else:
            replaced[number] = (first, contest.jaccard(first, number))
    return replaced


def _chosen(work: Database, contest: Contest) -> tuple[Chosen, set[tuple[int, int]], int]:
    """What `rank_copies` removes, the pairs it calls near, and how many pairs were compared."""
    numbers, lengths = range(len(contest.shingles)), contest.characters
    held = [(number, shingle) for number in numbers for shingle in contest.shingles[number]]
    tables = {
        "document": pa.table({"number": numbers, "id": [f"{n:03}" for n in numbers], "characters": lengths}),
        "shingle": pa.table({"number": [number for number, _ in held], "shingle": [shingle for _, shingle in held]}),
        "shingle_count": pa.table({"number": numbers, "shingles": [len(own) for own in contest.shingles]}),
    }
    for name in [name for (name,) in work.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")]:
        work.connection.execute(f"DROP VIEW {name}")
    for name in [name for (name,) in work.rows("SELECT table_name FROM duckdb_tables()")]:
        work.connection.execute(f"DROP TABLE {name}")
    work.run_file(SQL / "tables.sql")
    work.set_variables(near_threshold=contest.threshold, near_remove=True)
    for name, rows in tables.items():
        work.query_batch(f"INSERT INTO {name} BY NAME FROM batch RETURNING 1", rows)
    work.connection.execute("CREATE TABLE exact AS SELECT number, number AS head FROM document")
    work.connection.execute("CREATE TABLE pending_pair (a BIGINT, b BIGINT)")
    if contest.proposed:
        work.connection.executemany("INSERT INTO pending_pair VALUES (?, ?)", sorted(contest.proposed))
    work.run_file(SQL / "verify.sql")
    connect_components(work)
    rank_copies(work, DedupConfig())
    replaced = work.connection.execute("SELECT number, original, jaccard FROM verdict WHERE rule IS NOT NULL").fetchall()
    near = {(a, b) for a, b in work.connection.execute("SELECT a, b FROM near_pair").fetchall()}
    return {number: (original, jaccard) for number, original, jaccard in replaced}, near, int(work.number("SELECT count(*) FROM candidate"))


def test_a_document_goes_exactly_if_a_better_near_copy_of_it_stays(scratch: Path) -> None:
    with open_database(scratch, threads=1, memory="500MB") as work:

        @settings(max_examples=10, deadline=None, database=None)
        @given(st.one_of(_graphs(), _sets()))
        @example(TIGHT)
        def law(contest: Contest) -> None:
            expected = _brute_force(contest)
            found, near, _ = _chosen(work, contest)
            assert found == expected
            decisive = {(min(pair), max(pair)) for pair in ((number, original) for number, (original, _) in expected.items())}
            assert near == {pair for pair in contest.proposed if contest.near(*pair)} | decisive

        law()


@pytest.mark.parametrize("shape", ["chain", "star", "clique"])
def test_pairs_compared_grow_with_the_cluster_and_not_with_its_square(scratch: Path, shape: str) -> None:
    compared = []
    with open_database(scratch, threads=1, memory="500MB") as work:
        for count in (40, 80):
            edges = {
                "chain": set(pairwise(range(count))),
                "star": {(0, k) for k in range(1, count)},
                "clique": set(pairwise(range(count))),
            }[shape]
            contest = _contest(edges, set(), count, [1] * count, Proposal(1.0, 0))
            if shape == "clique":  # of which only neighbours were proposed, as in a large bucket
                contest = Contest([frozenset({*range(20), 100 + k}) for k in range(count)], [1] * count, 0.7, edges)
            found, _, pairs = _chosen(work, contest)
            assert found == _brute_force(contest)
            compared.append(pairs)
    assert compared[1] < 2.2 * compared[0] and compared[0] < 3 * 40
