"""Which shard of the corpus a document belongs to.

The shard is a function of the document's id and the number of shards alone, so adding or removing a book changes one shard and no other.
Shards in order hold ids in order: reading one after the other is reading sorted. Ids are hashes, so shards hold about equally many
documents; a shard may be empty.
"""

from __future__ import annotations

from typing import Protocol

from data.documents.identity import ID_BITS


class CorpusShard(Protocol):
    """Shard `number`, counted from 0, of `count`."""

    @property
    def number(self) -> int:
        """The shard's number, from 0."""

    @property
    def count(self) -> int:
        """How many shards there are."""


def shard_of(document: str, count: int) -> int:
    """Return the number, from 0, of the shard that holds a document id."""
    return int(document, 16) * count >> ID_BITS


def in_shard(shard: CorpusShard | None, document: str) -> bool:
    """Return whether the shard holds a document; None means the whole corpus."""
    return shard is None or shard_of(document, shard.count) == shard.number
