"""Read and write documents a few megabytes at a time, ordered by id.

Several files read in order give the same bytes as one file with all their rows: row groups close by the characters and rows they hold,
not by what was read before. Memory is bounded by one batch and the longest document, for any number of documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.documents.database import Database, parquet
from data.documents.rows import RowGroup, RowWriter
from data.documents.schema import DOCUMENTS

COLUMNS = tuple(DOCUMENTS.names)
BATCH_CHARACTERS = 16_000_000
SLICE_CHARACTERS = 1_000_000
BATCH_ROWS = 32_768
READ_ROWS = 64
Files = Path | Sequence[Path]
"""A file of documents, or those of several shards."""


def listed(documents: Files) -> Sequence[Path]:
    """Return the files as a list."""
    return [documents] if isinstance(documents, Path) else documents


def batches(documents: Files, columns: tuple[str, ...] = COLUMNS) -> Iterator[pa.Table]:
    """Yield tables of whole documents in file and row order, of about `BATCH_CHARACTERS` characters and at most `BATCH_ROWS` rows each."""
    return grouped(_read(listed(documents), columns))


def grouped(parts: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield batches of a few rows joined into such tables."""
    pending: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in parts:
        pending.append(batch)
        size += batch.nbytes
        rows += batch.num_rows
        if size >= BATCH_CHARACTERS or rows >= BATCH_ROWS:
            yield pa.Table.from_batches(pending)
            pending, size, rows = [], 0, 0
            # Without this Arrow's pool holds twice the memory in use.
            pa.default_memory_pool().release_unused()
    if pending:
        yield pa.Table.from_batches(pending)


def _read(documents: Sequence[Path], columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for path in documents:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(batch_size=READ_ROWS, columns=list(columns))


def slices(table: pa.Table, characters: int = SLICE_CHARACTERS) -> Iterator[pa.Table]:
    """Yield a table's rows in order as tables of about `characters` characters of `text`, for steps whose memory grows with every word."""
    first, size = 0, 0
    for row, length in enumerate(pc.utf8_length(table["text"]).to_pylist()):
        size += length or 0
        if size >= characters:
            yield table.slice(first, row + 1 - first)
            first, size = row + 1, 0
    if first < table.num_rows:
        yield table.slice(first)


def sorted_by_id(database: Database, documents: Sequence[Path]) -> Sequence[Path]:
    """Return `documents` if their ids ascend, as they do through shards, else a sorted copy in the database's folder.

    Raise ValueError for a missing column or a repeated id.
    """
    for path in documents:
        missing = [name for name in COLUMNS if name not in pq.read_schema(path).names]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}; documents need {', '.join(COLUMNS)}")
    last = ""
    ascending = True
    for table in batches(documents, ("id",)):
        for value in map(str, table["id"].to_pylist()):
            ascending = ascending and value > last
            last = value
    if ascending:
        return documents
    source = parquet(documents)
    repeated = database.rows(f"SELECT id FROM {source} GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1")
    if repeated:
        raise ValueError(f"document id {repeated[0][0]} comes more than once in {documents[0].name}; ids must be unique")
    target = database.folder / "ordered.parquet"
    database.connection.execute(
        f"COPY (SELECT {', '.join(COLUMNS)} FROM {source} ORDER BY id) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    )
    return (target,)


class DocumentWriter(RowWriter):
    """Writes documents to Parquet in row groups of about `BATCH_CHARACTERS` characters of text and at most `BATCH_ROWS` rows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, DOCUMENTS)

    def _characters(self, row: dict[str, Any]) -> int:
        return len(row["text"])

    def _full(self, group: RowGroup) -> bool:
        return group.characters >= BATCH_CHARACTERS or group.rows >= BATCH_ROWS
