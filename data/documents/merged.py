"""Reads the documents of several files in the order of their ids, as if they were one file.

Each file holds its documents by id. One is opened when its first id is due, so where ids ascend through the files, as they do through the
shards of a corpus, one is open at a time; memory holds a few rows of each file whose ids overlap, for any number of files.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.stream import COLUMNS, READ_ROWS, Files, grouped, listed


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
    """What is not yet read of a file."""

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
