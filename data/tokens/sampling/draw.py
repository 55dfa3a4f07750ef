"""Sets apart the chunks of one shard's training text that a tokenizer's sample may take.

A chunk has two lots, hashes of (seed, document, chunk): one decides whether it is fitted on, the other whether a sweep holds it out. Set
apart are the chunks whose first lot is within the share, and for a sweep those whose second is among the lowest: enough for whatever the
other shards hold. They are about `share` of the text, and a sweep adds at most 4 MB and a few chunks.

A share of 1 sets nothing apart and reads nothing: the sample is then drawn from the split, and no text is written twice.
Costs one pass over the shard. Memory holds a few documents and 4 million characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.documents.merged import merged_batches
from data.documents.rows import RowWriter
from data.documents.stream import Files
from data.tokens.config import CHUNKS, DrawConfig
from data.tokens.documents import SplitDocument, read_documents, shuffle_key
from data.tokens.encoder import chunks
from data.tokens.sampling.share import read_halvings

LOTS = 2**64
HELD_OUT_LOTS, MOST_HELD_OUT = int(LOTS * 0.02), 4 * 2**20  # of which the lowest, and bytes
_SCHEMA = pa.schema([("id", pa.string()), ("numbers", pa.list_(pa.int32())), ("chunks", pa.list_(pa.string()))])


class Chunk(NamedTuple):
    """A chunk of a document, counted from 0."""

    document: str
    number: int
    text: str

    @property
    def size(self) -> int:
        """Its UTF-8 bytes."""
        return len(self.text.encode())

    def lot(self, seed: int) -> int:
        """Return the number below 2^64 that decides whether it is fitted on."""
        return shuffle_key(seed, self.document, self.number)

    def held_out_lot(self, seed: int) -> int:
        """Return the number below 2^64 that decides whether a sweep holds it out."""
        return shuffle_key(seed, "left out", self.document, self.number)


def draw(train: Path, share: Path, output: Path, config: DrawConfig) -> dict[str, float]:
    """Write `chunks.parquet` into `output`: a row for each document with chunks that are set apart, their numbers and texts.

    `share`: what `allot` wrote. Return how many documents, chunks and bytes are set apart."""
    output.mkdir(parents=True, exist_ok=True)
    number = read_halvings(share)
    choice = _Choice(config, LOTS >> number, MOST_HELD_OUT)
    counts = dict.fromkeys(("documents", "chunks", "bytes"), 0.0)
    with _ChunkWriter(output / CHUNKS, _SCHEMA) as writer:
        for document in read_documents(train) if number else ():
            if kept := [chunk for chunk in _chunks_of(document) if choice.takes(chunk)]:
                writer.write({"id": document.id, "numbers": [chunk.number for chunk in kept], "chunks": [chunk.text for chunk in kept]})
                counts["documents"] += 1
                counts["chunks"] += len(kept)
                counts["bytes"] += sum(chunk.size for chunk in kept)
    return counts


def split_chunks(train: Files) -> Iterator[Chunk]:
    """Yield every chunk of a split, by document id and number."""
    for document in read_documents(train):
        yield from _chunks_of(document)


def drawn_chunks(samples: Files) -> Iterator[Chunk]:
    """Yield the chunks that the shards set apart, in the order in which they stand in the split."""
    for batch in merged_batches(samples, tuple(_SCHEMA.names), 16):
        for row in batch.to_pylist():
            for number, text in zip(row["numbers"], row["chunks"], strict=True):
                yield Chunk(row["id"], number, text)


def _chunks_of(document: SplitDocument) -> Iterator[Chunk]:
    for number, text in enumerate(chunks(document.text)):
        yield Chunk(document.id, number, text)


@dataclass
class _Choice:
    """What is set apart of a shard whose chunks come in order. `bound`: of the first lots; `room`: bytes left for what is held out."""

    config: DrawConfig
    bound: int
    room: int
    least: int = LOTS

    def takes(self, chunk: Chunk) -> bool:
        """Whether a chunk may be fitted on or held out.

        Second lots are held out below 2 %, or else the lowest of all shards; so each shard keeps every chunk that is its lowest so far."""
        fitted = chunk.lot(self.config.seed) < self.bound
        if not self.config.sweep:
            return fitted
        lot = chunk.held_out_lot(self.config.seed)
        lowest, self.least = lot <= self.least, min(lot, self.least)
        held_out = lot < HELD_OUT_LOTS and self.room > 0
        self.room -= chunk.size if held_out else 0
        return fitted or lowest or held_out


class _ChunkWriter(RowWriter):
    """Writes chunks in row groups of about 4 million characters."""

    def _characters(self, row: dict[str, Any]) -> int:
        return sum(map(len, row["chunks"]))
