"""Which text of the training split a tokenizer is fitted on, and which is left out to compare sizes by.

Guarantee: the same split and config give the same sample; it is at most `sample_bytes`, and `Sample.record` names each piece.
Left-out text is never in the sample. Nothing but the training split is read.
Cost: one pass over the split to measure it, one for each time that the sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.tokens.config import TokenizerConfig
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import TokenizerError, chunks

LEFT_OUT, MOST_LEFT_OUT = 0.02, 4 * 2**20  # of the split, and bytes


@dataclass(frozen=True)
class Sample:
    """A sample of the split at `train`, which holds `total` bytes of text; `record` fills as it is read."""

    train: Path
    config: TokenizerConfig
    total: int
    bound: int = 0
    record: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, train: Path, config: TokenizerConfig) -> Sample:
        """Measure the split. TokenizerError when it has no text, or too little to leave any out for a sweep."""
        total = count = 0
        least = 2**64
        for document in read_documents(train):
            total += len(document.text.encode())
            for number, _ in enumerate(chunks(document.text) if config.sweep else ()):
                count += 1
                least = min(least, shuffle_key(config.seed, "left out", document.id, number))
        if not total:
            raise TokenizerError(f"{train} holds no text: nothing to fit a tokenizer on; look at what cleaning removed")
        if config.sweep and count < 2:
            raise TokenizerError(f"{train} is one short text: a sweep has nothing to leave out and compare by; leave tokenizer.sweep empty")
        return cls(train, config, total, max(int(2**64 * LEFT_OUT), least + 1) if config.sweep else 0)

    def texts(self) -> Iterator[str]:
        """Pieces of the split, at most `sample_bytes` of them, each noted in `record` as (document, piece, bytes).

        Rule: everything when it fits. Otherwise a piece is taken when a hash of (seed, document, piece) falls below
        sample_bytes / total, until the cap: each book gives a part in proportion to its length, and adding a book
        leaves the choice among the others nearly as it was.
        """
        self.record.clear()
        config = self.config
        everything = self.total <= config.sample_bytes
        most = int(2**64 * config.sample_bytes / self.total)
        room = config.sample_bytes
        for document in read_documents(self.train):
            for number, piece in enumerate(chunks(document.text)):
                size = len(piece.encode())
                taken = everything or shuffle_key(config.seed, document.id, number) < most
                if size <= room and taken and not self._left_out(document.id, number):
                    room -= size
                    self.record.append((document.id, number, size))
                    yield piece

    def left_out(self) -> Iterator[str]:
        """The pieces to compare sizes by: about a fiftieth of the split, at least one piece, at most 4 MB."""
        room = MOST_LEFT_OUT
        for document in read_documents(self.train):
            for number, piece in enumerate(chunks(document.text)):
                if room > 0 and self._left_out(document.id, number):
                    room -= len(piece.encode())
                    yield piece

    def _left_out(self, identity: str, number: int) -> bool:
        return bool(self.bound) and shuffle_key(self.config.seed, "left out", identity, number) < self.bound


def write_record(path: Path, record: list[tuple[str, int, int]]) -> None:
    """The sample as a table: document id, number of the piece in it, bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, numbers, sizes = zip(*record, strict=True) if record else ((), (), ())
    columns = {
        "id": pa.array(ids, pa.string()),
        "piece": pa.array(numbers, pa.int32()),
        "bytes": pa.array(sizes, pa.int64()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
