"""The rows of a query, a few at a time: what is written from them never lies in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.documents.database import Workspace

AT_ONCE = 1024


def rows(work: Workspace, query: str) -> Iterator[dict[str, Any]]:
    """Each row as {column: value}, in the query's order, whatever else the workspace does meanwhile; temporary tables are not seen."""
    cursor = work.connection.cursor()
    try:
        for batch in cursor.sql(query).to_arrow_reader(AT_ONCE):
            yield from batch.to_pylist()
    finally:
        cursor.close()
