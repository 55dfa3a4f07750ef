"""Reads a split (documents.parquet) a few rows at a time, and shuffles documents by a hash of their id.

Memory holds one Parquet batch of texts. A missing file or column raises FileNotFoundError or KeyError with the path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SplitDocument:
    """One document of a split."""

    id: str
    source: str
    text: str


def read_documents(path: Path, batch_rows: int = 16) -> Iterator[SplitDocument]:
    """Yield the documents of a Parquet file in its order (by id, as every stage writes them)."""
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: the split that should be there is missing")
    # Without an explicit buffer size the reader keeps every column it has read until the end of the file.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        missing = {"id", "source", "text"} - set(file.schema_arrow.names)
        if missing:
            raise KeyError(f"{path} lacks the columns {sorted(missing)}; a split has id, title, source, text, metadata")
        for batch in file.iter_batches(batch_size=batch_rows, columns=["id", "source", "text"]):
            columns = (batch.column(name).to_pylist() for name in ("id", "source", "text"))
            for identity, source, text in zip(*columns, strict=True):
                yield SplitDocument(identity, source, text or "")


def shuffle_key(seed: int, *parts: object) -> int:
    """Hash the seed and the parts to a 64-bit number; sorting by it shuffles."""
    message = "\0".join(str(part) for part in (seed, *parts)).encode()
    return int.from_bytes(hashlib.sha256(message).digest()[:8], "big")
