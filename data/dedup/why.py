"""Why were two documents called the same? The pairs that connect them, and the passages that both hold.

Reads what deduplication wrote and the documents that it read. Costs a scan of the pairs a link, and a pass over the two texts; memory holds
those and the pairs of one cluster.
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
HELD = 16


class Link(NamedTuple):
    """A pair of documents that a rule called the same, and how alike their shingle sets are."""

    a: str
    b: str
    rule: str
    jaccard: float


@dataclass(frozen=True)
class Why:
    """`links`: the shortest chain of pairs from one document to the other. `shared`: their longest common passages, longest first."""

    links: tuple[Link, ...]
    shared: tuple[str, ...]


def why(pairs: Path, documents: Sequence[Path], a: str, b: str) -> Why:
    """The chain from `a` to `b` and what their texts share, in the words of `a`.

    `pairs` is deduplication's pairs.parquet, `documents` the files that it read. Raises LookupError, naming the document, if one isn't
    there or no chain connects them."""
    texts = _texts(documents, a, b)
    for name in (a, b):
        if name not in texts:
            raise LookupError(f"document {name} is in none of the {len(documents)} files that deduplication read")
    return Why(_chain(pairs, a, b), shared_passages(texts[a], texts[b]))


def shared_passages(left: str, right: str, count: int = PASSAGES) -> tuple[str, ...]:
    """The longest runs of words that two texts share, at most `count`, longest first, as `left` writes them; none overlaps a longer one.

    Runs of fewer than 8 words are given only where there is no longer one. Of what `right` repeats often, the first are compared."""
    (places, words), (_, others) = _words(left), _words(right)
    for size in SEEDS:
        found: list[str] = []
        taken: list[tuple[int, int]] = []
        for length, start in sorted(_runs(words, others, size), key=lambda run: (-run[0], run[1])):
            if len(found) < count and all(start >= end or start + length <= first for first, end in taken):
                taken.append((start, start + length))
                found.append(left[places[start][0] : places[start + length - 1][1]])
        if found:
            return tuple(found)
    return ()


def _chain(pairs: Path, a: str, b: str) -> tuple[Link, ...]:
    """The links from a to b, by breadth-first search; of equally short chains the one through the smallest ids."""
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
    places = spans(text)
    return places, [text[start:end].casefold() for start, end in places]


def _runs(words: list[str], others: list[str], size: int) -> list[tuple[int, int]]:
    """(length, start in `words`) of the longest common runs of at least `size` words."""
    where: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in range(len(others) - size + 1):
        seen = where[tuple(others[at : at + size])]
        if len(seen) < HELD:
            seen.append(at)
    ends: dict[int, int] = {}
    runs: list[tuple[int, int]] = []
    for at in range(len(words) - size + 1):
        for other in where.get(tuple(words[at : at + size]), ()):
            if ends.get(at - other, -1) > at:
                continue
            end = at + size
            while end < len(words) and end - at + other < len(others) and words[end] == others[end - at + other]:
                end += 1
            ends[at - other] = end
            runs.append((end - at, at))
    return runs
