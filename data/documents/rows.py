"""The schemas of the Parquet files of `data`, and rows streamed from queries and into files.

While a row group fills, only its newest rows are Python dicts; older ones are packed into Arrow tables. A row of short strings takes ten
times as much memory as a dict, so a group of many such rows would outweigh all its text.

Schemas of the Parquet files that the packages of `data` exchange, and how they are written.

Equal rows give equal bytes: fixed schema, fixed number of rows per group, and no time, host or path inside. Memory holds one row group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import Database

if TYPE_CHECKING:
    import duckdb

ROWS_A_GROUP = 128

# id: 16 hex digits that don't depend on the text. metadata: a JSON object. synthetic: written by a machine.
DOCUMENTS = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", "title", "source", "text", "metadata")] + [pa.field("synthetic", pa.bool_())]
)
# What of a document needs no text: deciding where it goes reads this and not the texts.
SIZES = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", "source")] + [pa.field("synthetic", pa.bool_()), pa.field("characters", pa.int64())]
)
# action: kept, changed, removed, duplicate or quarantined. count: how many passages. characters: how many it touched. net: characters in
# minus characters out. See `ledger`.
LEDGER = pa.schema(
    {name: pa.string() for name in ("id", "stage", "action", "rule")}
    | {"count": pa.int64(), "characters": pa.int64(), "net": pa.int64(), "detail": pa.string()}
)
QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "path", "reason")])


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows in the order given and return how many."""
    pending, count = iter(rows), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(pending, ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=ROWS_A_GROUP)
            count += len(group)
    return count


FETCH_ROWS = 4096
GROUP_CHARACTERS = 4_000_000
PENDING_ROWS = 512
PENDING_CHARACTERS = 1_000_000


def rows(database: Database, query: str) -> Iterator[dict[str, Any]]:
    """Yield each row as {column: value}, in the query's order.

    The database may run other queries meanwhile; temporary tables are not visible to this one."""
    cursor = database.connection.cursor()
    try:
        yield from _fetch(cursor, query)
    finally:
        cursor.close()


def rows_in_session(database: Database, query: str) -> Iterator[dict[str, Any]]:
    """Yield rows as `rows` does, with temporary and registered tables visible.

    The database must run nothing else until the last row is read."""
    return _fetch(database.connection, query)


def write_query(database: Database, query: str, path: Path, schema: pa.Schema) -> None:
    """Write the rows of a query to a Parquet file; the query sees temporary and registered tables."""
    with RowWriter(path, schema) as writer:
        for row in rows_in_session(database, query):
            writer.write(row)


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[dict[str, Any]]:
    for batch in connection.sql(query).to_arrow_reader(FETCH_ROWS):
        yield from batch.to_pylist()


class RowGroup:
    """The rows of one row group, in the order added, and the number of characters in their strings."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._packed: list[pa.Table] = []
        self._pending: list[dict[str, Any]] = []
        self._pending_characters = 0
        self.rows, self.characters = 0, 0

    def add(self, row: dict[str, Any], characters: int) -> None:
        """Add a row that counts as this many characters."""
        self._pending.append(row)
        self._pending_characters += characters
        self.rows += 1
        self.characters += characters
        if len(self._pending) >= PENDING_ROWS or self._pending_characters >= PENDING_CHARACTERS:
            self._pack()

    def take(self) -> pa.Table:
        """Return all rows as one contiguous table and empty the group."""
        self._pack()
        table = pa.concat_tables(self._packed).combine_chunks() if self._packed else self._schema.empty_table()
        self._packed, self.rows, self.characters = [], 0, 0
        return table

    def _pack(self) -> None:
        if self._pending:
            self._packed.append(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending, self._pending_characters = [], 0


class RowWriter:
    """Writes rows to one Parquet file in the order given. Row groups close by their content, so equal rows give equal bytes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._group = RowGroup(schema)
        self.count = 0

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        self._group.add(row, self._characters(row))
        self.count += 1
        if self._full(self._group):
            self._flush()

    def close(self, *, complete: bool = True) -> None:
        """Close the file. With `complete=False`, after an error, drop the rows of the unfinished group."""
        if complete:
            self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)

    def _characters(self, row: dict[str, Any]) -> int:
        return sum(len(value) for value in row.values() if isinstance(value, str))

    def _full(self, group: RowGroup) -> bool:
        return group.characters >= GROUP_CHARACTERS

    def _flush(self) -> None:
        if self._group.rows:
            self._writer.write_table(self._group.take())
