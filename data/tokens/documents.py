"""Reads a split (the documents of each shard) a few rows at a time, and shuffles documents by a hash of their id.

Memory holds one Parquet batch of texts. A missing file or column raises FileNotFoundError or KeyError with the path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.documents.stream import Files, listed, merged_batches

_COLUMNS = ("id", "source", "text")


@dataclass(frozen=True)
class SplitDocument:
    """One document of a split."""

    id: str
    source: str
    text: str


def read_documents(split: Files, batch_rows: int = 16) -> Iterator[SplitDocument]:
    """Yield the documents of a split by id, whatever the files that hold them; those of a single file in its order."""
    for path in listed(split):
        _require_split(path)
    for batch in merged_batches(split, _COLUMNS, batch_rows):
        for identity, source, text in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
            yield SplitDocument(identity, source, text or "")


def _require_split(path: Path) -> None:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: the split that should be there is missing")
    missing = set(_COLUMNS) - set(pq.read_schema(path).names)
    if missing:
        raise KeyError(f"{path} lacks the columns {sorted(missing)}; a split has id, title, source, text, metadata")


def shuffle_key(seed: int, *parts: object) -> int:
    """Hash the seed and the parts to a 64-bit number; sorting by it shuffles."""
    message = "\0".join(str(part) for part in (seed, *parts)).encode()
    return int.from_bytes(hashlib.sha256(message).digest()[:8], "big")
