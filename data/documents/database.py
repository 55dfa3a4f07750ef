"""A DuckDB connection that keeps to its memory and spills where it is told, and the folder it spills into.

The database lives in a fresh folder under `scratch` that is removed at the end, also after an error. Row order is not kept
by itself: whoever reads rows says ORDER BY.

`memory` bounds what DuckDB keeps (tables, joins, sorts), which fills up to it as a cache does; the vectors of a query that is running come
on top, some thirty times a text that is split into lists of strings. So such queries are given few megabytes of text at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from data.documents.words import PARAGRAPH_BREAK, SEPARATORS

WORDS = Path(__file__).with_name("words.sql")


@dataclass(frozen=True)
class Workspace:
    """A connection and the folder of its temporary files."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def set(self, **variables: int | float | str) -> None:
        """Sets SQL variables, read in the .sql files by `getvariable`."""
        for name, value in variables.items():
            self.connection.execute(f"SET VARIABLE {name} = $value", {"value": value})

    def script(self, path: Path) -> None:
        """Runs all statements of a .sql file."""
        self.connection.execute(path.read_text(encoding="utf-8"))

    def on_batch(self, path: Path, batch: pa.Table) -> None:
        """Runs a .sql file that reads the table `batch`."""
        with self._named(batch):
            self.script(path)

    def about(self, query: str, batch: pa.Table) -> pa.Table:
        """All rows of a query that reads the table `batch`."""
        with self._named(batch):
            return self.table(query)

    @contextmanager
    def _named(self, batch: pa.Table) -> Iterator[None]:
        self.connection.register("batch", batch)
        try:
            yield
        finally:
            self.connection.unregister("batch")

    def table(self, query: str) -> pa.Table:
        """All rows of a query."""
        found: pa.Table = self.connection.sql(query).to_arrow_table()
        return found

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """All rows of a query as tuples."""
        return self.connection.execute(query).fetchall()

    def number(self, query: str) -> float:
        """The single value of a query; nothing counts as 0."""
        rows = self.connection.execute(query).fetchall()
        return float(rows[0][0] or 0) if rows else 0.0


def parquet(files: Sequence[Path]) -> str:
    """SQL that reads Parquet files as one table."""
    names = ", ".join("'{}'".format(str(path).replace("'", "''")) for path in files)
    return f"read_parquet([{names}])"


@contextmanager
def workspace(scratch: Path, *, threads: int, memory: str) -> Iterator[Workspace]:
    """Opens a database under `scratch` with the word macros; `memory` as DuckDB writes it, such as "2GB"."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="duckdb-", dir=scratch))
    try:
        connection = duckdb.connect(
            str(folder / "work.duckdb"),
            config={
                "threads": threads,
                "memory_limit": memory,
                "temp_directory": str(folder / "spill"),
                "preserve_insertion_order": False,
                # What a query freed goes back to the system when it ends, not only after 128 MB of it.
                "allocator_flush_threshold": "16MB",
                "autoinstall_known_extensions": False,
            },
        )
        try:
            work = Workspace(connection, folder)
            work.set(separators=SEPARATORS, paragraph_break=PARAGRAPH_BREAK)
            work.script(WORDS)
            yield work
        finally:
            connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
