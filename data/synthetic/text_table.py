"""Synthetic texts on disk: writes and reads their one table.

A text is named by its maker and a digest of its content, so the same text always has the same id. No text is empty or
comes twice. Memory holds a row group and a digest per text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.schema import write_rows

TEXTS = "texts.parquet"
# path: the document's name inside its source. maker: templates or model.
COLUMNS = pa.schema([(name, pa.string()) for name in ("path", "maker", "text")])
_ROWS = 64


def write_texts(output: Path, maker: str, texts: Iterable[str]) -> dict[str, float]:
    """Write texts.parquet in the order given. Return the counts texts, characters, repeated and empty."""
    counts = dict.fromkeys(("texts", "characters", "repeated", "empty"), 0.0)

    def rows() -> Iterator[dict[str, str]]:
        paths = set[str]()
        for text in texts:
            path = f"{maker}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.txt"
            if not text.strip() or path in paths:
                counts["repeated" if text.strip() else "empty"] += 1
                continue
            paths.add(path)
            counts["texts"] += 1
            counts["characters"] += len(text)
            yield {"path": path, "maker": maker, "text": text}

    write_rows(output / TEXTS, COLUMNS, rows())
    return counts


def read_texts(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, str]]:
    """Yield (path, maker, text) of each text whose path is `wanted`."""
    with pq.ParquetFile(folder / TEXTS) as file:
        for batch in file.iter_batches(_ROWS):
            yield from ((row["path"], row["maker"], row["text"]) for row in batch.to_pylist() if wanted(row["path"]))
