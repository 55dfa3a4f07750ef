"""Sample the training split: the text that a tokenizer is fitted on, and the held-out text that a sweep compares sizes by.

Equal splits and settings give equal samples of at most `sample_bytes`, for any number of shards; `Sample.record` lists every chunk in it.
Held-out text is never in the sample. What is read, once each time that the sample is, are the chunks that the shards set apart; the split
itself only if it has less than twice `sample_bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data.documents.stream import Files
from data.tokens.config import TokenizerConfig
from data.tokens.documents import read_documents
from data.tokens.encoder import TokenizerError
from data.tokens.sampling.draw import HELD_OUT_LOTS, LOTS, MOST_HELD_OUT, Chunk, drawn_chunks, split_chunks
from data.tokens.sampling.share import halvings, training_bytes

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
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, numbers, sizes = zip(*record, strict=True) if record else ((), (), ())
    columns = {
        "id": pa.array(ids, pa.string()),
        "piece": pa.array(numbers, pa.int32()),
        "bytes": pa.array(sizes, pa.int64()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
