"""Explains why two documents count as copies: the pairs that connect them, and the passages that both contain.

Reads what deduplication wrote and the documents it read. Costs one scan of the pairs for each link, and a pass over the two texts; memory
holds these and the pairs of one cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.documents.words import spans

PASSAGES = 5
SEEDS = (8, 4, 2, 1)
MOST_OCCURRENCES = 16


class Link(NamedTuple):
    """A pair of documents that a rule found to be copies, and the Jaccard similarity of their shingle sets."""

    a: str
    b: str
    rule: str
    jaccard: float


@dataclass(frozen=True)
class Explanation:
    """`links`: the shortest chain of pairs between two documents. `shared`: their longest common passages, longest first."""

    links: tuple[Link, ...]
    shared: tuple[str, ...]


def explain(pairs: Path, documents: Sequence[Path], a: str, b: str) -> Explanation:
    """Return the chain from `a` to `b` and what their texts share, as `a` writes it.

    `pairs` is deduplication's pairs.parquet, `documents` the files it read. Raise LookupError, naming the document, if one is missing or
    no chain connects them.
    """
    texts = _texts(documents, a, b)
    for name in (a, b):
        if name not in texts:
            raise LookupError(f"document {name} is in none of the {len(documents)} files that deduplication read")
    return Explanation(_chain(pairs, a, b), shared_passages(texts[a], texts[b]))


def shared_passages(left: str, right: str, count: int = PASSAGES) -> tuple[str, ...]:
    """Return the longest runs of words that two texts share, at most `count`, longest first, as `left` writes them, without overlaps.

    Runs of fewer than 8 words are returned only if there is no longer one. Of a run that `right` repeats often, only the first occurrences
    are compared.
    """
    (word_spans, words), (_, others) = _words(left), _words(right)
    for size in SEEDS:
        found: list[str] = []
        taken: list[tuple[int, int]] = []
        for length, start in sorted(_runs(words, others, size), key=lambda run: (-run[0], run[1])):
            if len(found) < count and all(start >= end or start + length <= first for first, end in taken):
                taken.append((start, start + length))
                found.append(left[word_spans[start][0] : word_spans[start + length - 1][1]])
        if found:
            return tuple(found)
    return ()


def _chain(pairs: Path, a: str, b: str) -> tuple[Link, ...]:
    """Return the links from a to b by breadth-first search; of equally short chains, the one through the smallest ids."""
    import duckdb

    before: dict[str, Link] = {}
    reached, frontier = {a}, [a]
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        while frontier and b not in reached:
            rows = connection.execute(
                """SELECT p.a, p.b, rule, jaccard, near FROM (
                    SELECT *, a AS near FROM read_parquet($pairs) UNION ALL SELECT *, b AS near FROM read_parquet($pairs)) AS p
                WHERE list_contains($frontier, near) ORDER BY near, p.a, p.b, rule""",
                {"pairs": str(pairs), "frontier": frontier},
            ).fetchall()
            frontier = []
            for left, right, rule, jaccard, near in rows:
                other = right if near == left else left
                if other not in reached:
                    reached.add(other)
                    before[other] = Link(near, other, rule, jaccard)
                    frontier.append(other)
    if b not in reached:
        raise LookupError(f"documents {a} and {b} are in different clusters: no chain of pairs connects them")
    links: list[Link] = []
    while b != a:
        links.append(before[b])
        b = before[b].a
    return tuple(reversed(links))


def _texts(documents: Sequence[Path], *names: str) -> dict[str, str]:
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for path in documents:
        for row in pq.read_table(path, columns=["id", "text"], filters=[("id", "in", list(names))]).to_pylist():
            found[row["id"]] = row["text"]
    return found


def _words(text: str) -> tuple[list[tuple[int, int]], list[str]]:
    word_spans = spans(text)
    return word_spans, [text[start:end].casefold() for start, end in word_spans]


def _runs(words: list[str], others: list[str], size: int) -> list[tuple[int, int]]:
    """Return (length, start in `words`) of the longest common runs of at least `size` words."""
    starts_of: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in range(len(others) - size + 1):
        seen = starts_of[tuple(others[at : at + size])]
        if len(seen) < MOST_OCCURRENCES:
            seen.append(at)
    ends: dict[int, int] = {}
    runs: list[tuple[int, int]] = []
    for at in range(len(words) - size + 1):
        for other in starts_of.get(tuple(words[at : at + size]), ()):
            if ends.get(at - other, -1) > at:
                continue
            end = at + size
            while end < len(words) and end - at + other < len(others) and words[end] == others[end - at + other]:
                end += 1
            ends[at - other] = end
            runs.append((end - at, at))
    return runs
