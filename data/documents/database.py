"""DuckDB connections, each with a memory limit and its own spill folder.

Each database lives in a new folder under `scratch`, which is removed on exit, also after an error. Row order is not preserved: every
query whose order matters says ORDER BY. Running counts are written `count(CASE WHEN x THEN 1 END) OVER (ORDER BY ...)`: DuckDB 2.0
computes `count(*) FILTER (x) OVER (ORDER BY ...)` anew for every row, in time by the square of a partition.

`memory` limits what DuckDB keeps (tables, joins, sorts); it uses up to that much as a cache. The vectors of a running query come on top:
about thirty times the size of a text that is split into a list of strings. Give such queries a few megabytes of text at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa

from data.documents.words import PARAGRAPH_BREAK, SEPARATORS

if TYPE_CHECKING:
    import duckdb

WORDS = Path(__file__).with_name("words.sql")


class Limits(TypedDict):
    """A database's resources: threads, memory in DuckDB's notation such as "2GB", and a folder for temporary files."""

    threads: int
    memory: str
    scratch: Path


@dataclass(frozen=True)
class Database:
    """A connection and the folder for its temporary files."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def set_variables(self, **variables: int | float | str) -> None:
        """Set SQL variables, which .sql files read with `getvariable`."""
        for name, value in variables.items():
            self.connection.execute(f"SET VARIABLE {name} = $value", {"value": value})

    def run_file(self, path: Path) -> None:
        """Run all statements of a .sql file."""
        self.connection.execute(path.read_text(encoding="utf-8"))

    def run_on_batch(self, path: Path, batch: pa.Table) -> None:
        """Run a .sql file that reads `batch` as a table of that name."""
        with self.registered(batch):
            self.run_file(path)

    def query_batch(self, query: str, batch: pa.Table) -> pa.Table:
        """Return all rows of a query that reads `batch` as a table of that name."""
        with self.registered(batch):
            return self.table(query)

    @contextmanager
    def registered(self, batch: pa.Table) -> Iterator[None]:
        """Make `batch` a table of that name."""
        self.connection.register("batch", batch)
        try:
            yield
        finally:
            self.connection.unregister("batch")

    def table(self, query: str) -> pa.Table:
        """Return all rows of a query as a table."""
        result: pa.Table = self.connection.sql(query).to_arrow_table()
        return result

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return all rows of a query as tuples."""
        return self.connection.execute(query).fetchall()

    def number(self, query: str) -> float:
        """Return the single value of a query; NULL and no row count as 0."""
        rows = self.connection.execute(query).fetchall()
        return float(rows[0][0] or 0) if rows else 0.0


def parquet(files: Sequence[Path]) -> str:
    """Return SQL that reads Parquet files as one table."""
    names = ", ".join("'{}'".format(str(path).replace("'", "''")) for path in files)
    return f"read_parquet([{names}])"


def by_shard(files: Sequence[Path], columns: str = "*") -> str:
    """Return SQL for the rows of the shards' Parquet files, each with the number of its file as `shard`."""
    return " UNION ALL ".join(f"SELECT {columns}, {shard} AS shard FROM {parquet([path])}" for shard, path in enumerate(files))


@contextmanager
def open_database(scratch: Path, *, threads: int, memory: str) -> Iterator[Database]:
    """Open a database under `scratch` with the word macros; `memory` is in DuckDB's notation, such as "2GB"."""
    import duckdb

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
                # Return memory to the system when a query ends; by default DuckDB waits until 128 MB are free.
                "allocator_flush_threshold": "16MB",
                "autoinstall_known_extensions": False,
            },
        )
        try:
            database = Database(connection, folder)
            database.set_variables(separators=SEPARATORS, paragraph_break=PARAGRAPH_BREAK)
            database.run_file(WORDS)
            yield database
        finally:
            connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
