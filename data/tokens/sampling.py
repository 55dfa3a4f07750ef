"""Sample the training split: the text that a tokenizer is fitted on, and the held-out text that a sweep compares sizes by.

Equal splits and settings give equal samples of at most `sample_bytes`; `Sample.record` lists every chunk in it. Held-out text is never in
the sample. Only the training split is read: once to measure it, and once each time the sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.documents.stream import Files
from data.tokens.config import TokenizerConfig
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import TokenizerError, chunks

HELD_OUT, MOST_HELD_OUT = 0.02, 4 * 2**20  # fraction of the split, and bytes


@dataclass(frozen=True)
class Sample:
    """A sample of the split in the files `train`, which hold `total` bytes of text; `record` is filled whenever the sample is read."""

    train: Files
    config: TokenizerConfig
    total: int
    bound: int = 0
    record: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def measure(cls, train: Files, config: TokenizerConfig) -> Sample:
        """Measure the split. Raise TokenizerError if it has no text, or too little to hold any out for a sweep."""
        total = count = 0
        least = 2**64
        for document in read_documents(train):
            total += len(document.text.encode())
            for number, _ in enumerate(chunks(document.text) if config.sweep else ()):
                count += 1
                least = min(least, shuffle_key(config.seed, "left out", document.id, number))
        if not total:
            raise TokenizerError("the training split holds no text to fit a tokenizer on; check what cleaning removed")
        if config.sweep and count < 2:
            raise TokenizerError("the training split is one short text, so a sweep has nothing to hold out; leave tokenizer.sweep empty")
        return cls(train, config, total, max(int(2**64 * HELD_OUT), least + 1) if config.sweep else 0)

    def texts(self) -> Iterator[str]:
        """Yield chunks of the split, at most `sample_bytes`, and record each as (document, chunk, bytes).

        If the split fits, all of it; otherwise the chunks whose hash of (seed, document, chunk) is below sample_bytes / total, up to the
        cap. So each book contributes in proportion to its length, and adding a book barely changes the choice among the others.
        """
        self.record.clear()
        config = self.config
        everything = self.total <= config.sample_bytes
        most = int(2**64 * config.sample_bytes / self.total)
        room = config.sample_bytes
        for document in read_documents(self.train):
            for number, chunk in enumerate(chunks(document.text)):
                size = len(chunk.encode())
                taken = everything or shuffle_key(config.seed, document.id, number) < most
                if size <= room and taken and not self._is_held_out(document.id, number):
                    room -= size
                    self.record.append((document.id, number, size))
                    yield chunk

    def held_out(self) -> Iterator[str]:
        """Yield the chunks that sizes are compared on: about 2 % of the split, at least one chunk, at most 4 MB."""
        room = MOST_HELD_OUT
        for document in read_documents(self.train):
            for number, chunk in enumerate(chunks(document.text)):
                if room > 0 and self._is_held_out(document.id, number):
                    room -= len(chunk.encode())
                    yield chunk

    def _is_held_out(self, identity: str, number: int) -> bool:
        return bool(self.bound) and shuffle_key(self.config.seed, "left out", identity, number) < self.bound


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
