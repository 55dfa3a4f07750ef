"""Tables in Parquet between two tasks: whole, or divided into slices, one for each task that reads them.

Rows are sorted by all their columns and row groups hold equally many, so equal rows give equal bytes however many threads there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import Database
from data.documents.sharding import SLICE

GROUP_ROWS = 1 << 17


def write_table(work: Database, query: str, path: Path) -> None:
    """Write the rows of a query to one file, sorted."""
    reader = _sorted(work, query)
    with _GroupWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write(pa.Table.from_batches([batch]))


def write_slices(work: Database, query: str, folder: Path, count: int) -> None:
    """Write the rows of a query into `count` files by the column `slice`, sorted by the other columns; a slice may be empty.

    Memory is two row groups and what DuckDB may use, whatever the number of rows."""
    reader = _sorted(work, f"SELECT * REPLACE (slice::BIGINT AS slice) FROM ({query})")
    schema = reader.schema.remove(reader.schema.get_field_index("slice"))
    parts = _parts(reader)
    number, part = next(parts, (count, schema.empty_table()))
    for target in range(count):
        with _GroupWriter(folder / SLICE.format(target), schema) as writer:
            while number == target:
                writer.write(part)
                number, part = next(parts, (count, part))


def _sorted(work: Database, query: str) -> pa.RecordBatchReader:
    reader: pa.RecordBatchReader = work.connection.sql(f"SELECT * FROM ({query}) ORDER BY ALL").to_arrow_reader(GROUP_ROWS)
    return reader


def _parts(reader: pa.RecordBatchReader) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each slice in order, with its number, without the column `slice`."""
    for batch in reader:
        table = pa.Table.from_batches([batch])
        slices: Any = table["slice"]
        numbers = slices.to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, end in pairwise(edges):
            if end > start:
                yield int(numbers[start]), table.slice(start, end - start).drop_columns("slice")


class _GroupWriter:
    """Writes a table in row groups of GROUP_ROWS rows, whatever the pieces that it comes in."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._pending = schema.empty_table()

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        self._pending = pa.concat_tables([self._pending, rows])
        while self._pending.num_rows >= GROUP_ROWS:
            self._write_group(self._pending.slice(0, GROUP_ROWS))
            self._pending = self._pending.slice(GROUP_ROWS)

    def _write_group(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks(), row_group_size=GROUP_ROWS)

    def __enter__(self) -> _GroupWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and self._pending.num_rows:
            self._write_group(self._pending)
        self._writer.close()
