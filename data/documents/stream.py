"""Read and write documents a few megabytes at a time, ordered by id.

Several files read in order give the same bytes as one file with all their rows: row groups close by the characters and rows they hold,
not by what was read before. Memory is bounded by one batch and the longest document, for any number of documents.

Reads the documents of several files in the order of their ids, as if they were one file.

Each file holds its documents by id. One is opened when its first id is due, so where ids ascend through the files, as they do through the
shards of a corpus, one is open at a time; memory holds a few rows of each file whose ids overlap, for any number of files.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.documents.database import Database, parquet
from data.documents.rows import DOCUMENTS, SIZES, RowGroup, RowWriter

COLUMNS = tuple(DOCUMENTS.names)
BATCH_CHARACTERS = 16_000_000
SLICE_CHARACTERS = 1_000_000
BATCH_ROWS = 32_768
READ_ROWS = 64
Files = Path | Sequence[Path]  # a file of documents, or those of several shards


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


def merged(documents: Files, columns: tuple[str, ...] = COLUMNS) -> Iterator[pa.Table]:
    """Yield tables of whole documents in the order of ids, as large as those of `batches`. Raises what `merged_batches` raises."""
    return grouped(merged_batches(documents, columns))


def merged_batches(documents: Files, columns: tuple[str, ...] = COLUMNS, rows: int = READ_ROWS) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `rows` documents in the order of ids; those of a single file in its order.

    Raises ValueError, naming the file, if ids don't ascend in one of several files."""
    files = listed(documents)
    if len(files) == 1:
        yield from _batches(files[0], columns, rows)
        return
    waiting = sorted((first, number, path) for number, path in enumerate(files) if (first := _first_id(path)) is not None)
    opened: list[_Cursor] = []
    while waiting or opened:
        while waiting and all(waiting[0][0] < cursor.next_id for cursor in opened):
            _, _, path = waiting.pop(0)
            opened.append(_Cursor(path, columns, rows))
        opened.sort(key=lambda cursor: cursor.next_id)
        due = [*(cursor.next_id for cursor in opened[1:2]), *(first for first, _, _ in waiting[:1])]
        yield opened[0].take(min(due, default=None))
        opened = [cursor for cursor in opened if cursor.has_rows]


class _Cursor:
    """The unread rest of a file."""

    def __init__(self, path: Path, columns: tuple[str, ...], rows: int) -> None:
        self._path, self._columns = path, columns
        self._batches = _batches(path, tuple(dict.fromkeys((*columns, "id"))), rows)
        self._batch: pa.RecordBatch | None = None
        self._ids: list[str] = []
        self._read_on("")

    @property
    def has_rows(self) -> bool:
        return bool(self._ids)

    @property
    def next_id(self) -> str:
        return self._ids[0]

    def take(self, end: str | None) -> pa.RecordBatch:
        """Return the documents of this batch before an id, at least one; None: all."""
        assert self._batch is not None, "only a cursor that has rows is read"
        count = len(self._ids) if end is None else max(1, bisect_left(self._ids, end))
        taken, last = self._batch.slice(0, count), self._ids[count - 1]
        self._batch, self._ids = self._batch.slice(count), self._ids[count:]
        if not self._ids:
            self._read_on(last)
        return taken.select(list(self._columns))

    def _read_on(self, last: str) -> None:
        batch = next(self._batches, None)
        if batch is None:
            return
        self._batch = batch
        self._ids = [str(value) for value in batch["id"].to_pylist()]
        if any(one >= other for one, other in pairwise([last, *self._ids])):
            raise ValueError(f"{self._path}: its ids don't ascend, so it can't be read together with other files; sort it by id")


def _batches(path: Path, columns: tuple[str, ...], rows: int) -> Iterator[pa.RecordBatch]:
    # Without an explicit buffer size the reader keeps every column it has read until the end of the file.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        yield from (batch for batch in file.iter_batches(batch_size=rows, columns=list(columns)) if batch.num_rows)


def _first_id(path: Path) -> str | None:
    """Return the first id of a file; None if it has no documents."""
    first = next(_batches(path, ("id",), 1), None)
    return None if first is None else str(first["id"][0].as_py())


class SizedWriter:
    """Writes documents to one file, and their id, source, `synthetic` and number of characters to another."""

    def __init__(self, documents: Path, sizes: Path) -> None:
        self._documents, self._sizes = DocumentWriter(documents), RowWriter(sizes, SIZES)

    def write(self, row: dict[str, Any]) -> None:
        """Append a document."""
        self._documents.write(row)
        self._sizes.write({**{name: row[name] for name in ("id", "source", "synthetic")}, "characters": len(row["text"])})

    def close(self, *, complete: bool = True) -> None:
        """Close both files. With `complete=False`, after an error, drop the rows of unfinished groups."""
        self._documents.close(complete=complete)
        self._sizes.close(complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)
