"""A corpus in parts: which shard a document belongs to.

Guarantees: a document's shard is a function of its id and of the number of shards alone, so a book more or less touches one shard and
no other; the shards in order hold the ids in order, so what is read shard after shard is sorted. Ids are hashes, so shards hold about
equally many documents; a shard may hold none.
"""

from __future__ import annotations

from typing import Protocol

from data.documents.schema import ID_BITS


class Shard(Protocol):
    """Part `number`, counted from 0, of `count`."""

    @property
    def number(self) -> int:
        """Which part."""

    @property
    def count(self) -> int:
        """Of how many."""


def shard_of(document: str, count: int) -> int:
    """The number, from 0, of the shard that a document's id falls in."""
    return int(document, 16) * count >> ID_BITS


def holds(shard: Shard | None, document: str) -> bool:
    """Whether a document belongs to the shard; None stands for the whole corpus."""
    return shard is None or shard_of(document, shard.count) == shard.number
