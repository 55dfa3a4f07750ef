"""The rows of a query, a few at a time: what is written from them never lies in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data.documents.database import Workspace
from data.documents.group import RowWriter

AT_ONCE = 4096


def rows(work: Workspace, query: str) -> Iterator[dict[str, Any]]:
    """Each row as {column: value}, in the query's order, whatever else the workspace does meanwhile; temporary tables are not seen."""
    cursor = work.connection.cursor()
    try:
        yield from _each(cursor, query)
    finally:
        cursor.close()


def own_rows(work: Workspace, query: str) -> Iterator[dict[str, Any]]:
    """The same with the workspace's temporary and registered tables; it must do nothing else until the last row is taken."""
    return _each(work.connection, query)


def write_query(work: Workspace, query: str, path: Path, schema: pa.Schema) -> None:
    """Writes the rows of a query, which sees what `own_rows` sees, to a Parquet file."""
    with RowWriter(path, schema) as writer:
        for row in own_rows(work, query):
            writer.write(row)


def _each(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[dict[str, Any]]:
    for batch in connection.sql(query).to_arrow_reader(AT_ONCE):
        yield from batch.to_pylist()
