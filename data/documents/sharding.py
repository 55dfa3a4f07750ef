"""Ids of documents, and which shard of the corpus each belongs to.

The shard is a function of the document's id and the number of shards alone, so adding or removing a book changes one shard and no other.
Shards in order hold ids in order: reading one after the other is reading sorted. Ids are hashes, so shards hold about equally many
documents; a shard may be empty."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

ID_BITS = 64


def document_id(source: str, path: str) -> str:
    """Return 16 hex digits that identify the path inside the source."""
    return hashlib.sha256(f"{source}\0{path}".encode("utf-8", "surrogatepass")).hexdigest()[: ID_BITS // 4]


def text_digest(text: str) -> str:
    """Return the sha256 of a text in UTF-8, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


SLICE = "{:04}.parquet"  # the name of a file by the number of the shard or partition that it is for
# Where a stage over all shards leaves the documents of each, and what of them needs no text: id, source, synthetic, characters.
SHARD_DOCUMENTS, SHARD_SIZES = f"documents/{SLICE}", f"sizes/{SLICE}"
DOCUMENTS, SIZES_FILE = "documents.parquet", "sizes.parquet"  # the same of a stage over one shard


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


def shard_files(folder: Path, count: int) -> list[Path]:
    """Return the files of documents that a stage over all shards left, one for each shard, in order."""
    return [folder / SHARD_DOCUMENTS.format(shard) for shard in range(count)]


def split_files(folders: Sequence[Path], split: str) -> list[Path]:
    """Return the files of a split, one for each shard, in the folders that splitting wrote."""
    return [folder / f"{split}.parquet" for folder in folders]


def in_shard(shard: CorpusShard | None, document: str) -> bool:
    """Return whether the shard holds a document; None means the whole corpus."""
    return shard is None or shard_of(document, shard.count) == shard.number
