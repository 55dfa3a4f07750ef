"""Sample the training split: the text that a tokenizer is fitted on, and the held-out text that a sweep compares sizes by.

Equal splits and settings give equal samples of at most `sample_bytes`, for any number of shards; `Sample.record` lists every chunk in it.
Held-out text is never in the sample. What is read, once each time that the sample is, are the chunks that the shards set apart; the split
itself only if it has less than twice `sample_bytes`.

Decides which share of the training text each shard sets apart for the tokenizer's sample.

The share is a power of two, at least `sample_bytes` of all text, and less than twice that. So it changes only where the text's size passes
such a multiple of `sample_bytes`, and a book more or less draws its own shard's text again and no other's. A share of 1 means that no text
is set apart: the sample is then at least half of the text, and is drawn from the split itself.

Sets apart the chunks of one shard's training text that a tokenizer's sample may take.

A chunk has two lots, hashes of (seed, document, chunk): one decides whether it is fitted on, the other whether a sweep holds it out. Set
apart are the chunks whose first lot is within the share, and for a sweep those whose second is among the lowest: enough for whatever the
other shards hold. They are about `share` of the text, and a sweep adds at most 4 MB and a few chunks.

A share of 1 sets nothing apart and reads nothing: the sample is then drawn from the split, and no text is written twice.
Costs one pass over the shard. Memory holds a few documents and 4 million characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.documents.rows import RowWriter
from data.documents.stream import Files, merged_batches
from data.shards.pictures import without_pictures
from data.tokens.config import CHUNKS, SHARE, AllotConfig, DrawConfig, TokenizerConfig
from data.tokens.documents import SplitDocument, read_documents, shuffle_key
from data.tokens.encoder import TokenizerError, chunks


def allot(sizes: Sequence[Path], output: Path, config: AllotConfig) -> dict[str, float]:
    """Write `share.json` into `output`, which says how often the share halves the text.

    `sizes`: how many bytes of training text each shard has. Return train_bytes, their sum, and share."""
    total = training_bytes(sizes)
    number = halvings(total, config.sample_bytes)
    output.mkdir(parents=True, exist_ok=True)
    (output / SHARE).write_text(json.dumps({"halvings": number}), encoding="utf-8")
    return {"train_bytes": float(total), "share": 0.5**number}


def training_bytes(sizes: Sequence[Path]) -> int:
    """Return the bytes of training text in all shards, from the files that splitting wrote beside it."""
    return sum(int(json.loads(path.read_text(encoding="utf-8"))["bytes"]) for path in sizes)


def halvings(total: int, sample_bytes: int) -> int:
    """Return how often a text of `total` bytes can be halved and still has `sample_bytes`."""
    return max(0, (total // sample_bytes).bit_length() - 1)


def read_halvings(share: Path) -> int:
    """Return what `allot` wrote."""
    return int(json.loads(share.read_text(encoding="utf-8"))["halvings"])


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
    for number, text in enumerate(chunks(without_pictures(document.text))):
        yield Chunk(document.id, number, text)


@dataclass
class _Choice:
    """The text set apart of a shard whose chunks come in order. `bound`: of the first lots; `room`: bytes left for what is held out."""

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


Pool = Callable[[], Iterator[Chunk]]


@dataclass(frozen=True)
class Sample:
    """A sample of a split of `total` bytes, from the chunks that `pool` yields; `record` is filled whenever the sample is read.

    `bound`: that of the lots of what is held out, 0 for nothing."""

    pool: Pool
    config: TokenizerConfig
    total: int
    bound: int = 0
    record: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, train: Files, config: TokenizerConfig, sizes: Sequence[Path] = (), drawn: Sequence[Path] = ()) -> Sample:
        """Return the sample of the split in the files `train`.

        `sizes`, `drawn`: how many bytes each shard has, and what was set apart of it; without them the whole split is read to count them
        and to draw. Raise TokenizerError if the split has no text, or too little to hold any out for a sweep."""
        total = training_bytes(sizes) if sizes else sum(len(document.text.encode()) for document in read_documents(train))
        if not total:
            raise TokenizerError("the training split holds no text to fit a tokenizer on; check what cleaning removed")
        pool = partial(drawn_chunks, drawn) if drawn and halvings(total, config.sample_bytes) else partial(split_chunks, train)
        return cls(pool, config, total, _held_out_bound(pool, config.seed, total) if config.sweep else 0)

    def texts(self) -> Iterator[str]:
        """Yield chunks of the split, at most `sample_bytes`, and record each as (document, chunk, bytes).

        If the split fits, all of it; otherwise the chunks whose lot, a hash of (seed, document, chunk), is below sample_bytes / total, up
        to the cap. So each book contributes in proportion to its length, and adding a book barely changes the choice among the others.
        """
        self.record.clear()
        config = self.config
        everything = self.total <= config.sample_bytes
        most = int(LOTS * config.sample_bytes / self.total)
        room = config.sample_bytes
        for chunk in self.pool():
            size = chunk.size
            taken = everything or chunk.lot(config.seed) < most
            if size <= room and taken and not self._is_held_out(chunk):
                room -= size
                self.record.append((chunk.document, chunk.number, size))
                yield chunk.text

    def held_out(self) -> Iterator[str]:
        """Yield the chunks that sizes are compared on: about 2 % of the split, at least one chunk, at most 4 MB."""
        room = MOST_HELD_OUT
        for chunk in self.pool():
            if room > 0 and self._is_held_out(chunk):
                room -= chunk.size
                yield chunk.text

    def _is_held_out(self, chunk: Chunk) -> bool:
        return bool(self.bound) and chunk.held_out_lot(self.config.seed) < self.bound


def _held_out_bound(pool: Pool, seed: int, total: int) -> int:
    """Return the bound of the lots of what is held out: 2 %, or what the lowest lot is below."""
    least = LOTS
    for chunk in pool():
        if chunk.size == total:
            raise TokenizerError("the training split is one short text, so a sweep has nothing to hold out; leave tokenizer.sweep empty")
        least = min(least, chunk.held_out_lot(seed))
    return max(HELD_OUT_LOTS, least + 1)


def write_record(path: Path, record: list[tuple[str, int, int]]) -> None:
    """Write the record of a sample: document id, number of the chunk in it (column piece), bytes."""
    import pyarrow.parquet as pq

    ids, numbers, sizes = zip(*record, strict=True) if record else ((), (), ())
    columns = {
        "id": pa.array(ids, pa.string()),
        "piece": pa.array(numbers, pa.int32()),
        "bytes": pa.array(sizes, pa.int64()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
