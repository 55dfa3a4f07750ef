"""Reading the text in tables: every string of a Parquet or Arrow file, and every text or blob of an SQLite database.

The strings of a column, or of a database's row, are yielded as one text, a few rows at a time, so a text that lies in lines or pieces is
found as well. Memory holds those rows. A database is opened for reading only, while others may write to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 64
PIECE = 4 << 20
SECONDS = 30.0  # to wait for a database that is being written


def parquet_texts(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of a Parquet file. Raise pyarrow.ArrowException if it is damaged."""
    with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
        columns = [field.name for field in file.schema_arrow if _holds_text(field.type)]
        for batch in file.iter_batches(ROWS, columns=columns) if columns else ():
            yield from _batch_texts(batch)


def arrow_texts(stream: Any) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of an Arrow file. Raise pyarrow.ArrowException if it is damaged."""
    with pa.ipc.open_file(stream) as file:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            for start in range(0, batch.num_rows, ROWS):
                yield from _batch_texts(batch.slice(start, ROWS))


def sqlite_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (table, text) of an SQLite database. Raise sqlite3.Error if it can't be read."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)
    try:
        connection.text_factory = bytes
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name")
        for table in [str(name, "utf-8", "replace") for (name,) in names.fetchall()]:
            quoted = '"' + table.replace('"', '""') + '"'
            pending: list[str] = []
            size = 0
            for row in connection.execute(f"SELECT * FROM {quoted}"):
                pending += [value.decode("utf-8", "replace") for value in row if isinstance(value, bytes)]
                size += sum(len(value) for value in row if isinstance(value, bytes))
                if size > PIECE:
                    yield table, "\n".join(pending)
                    pending, size = [], 0
            yield table, "\n".join(pending)
    finally:
        connection.close()


def _holds_text(kind: Any) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return any(_holds_text(kind.field(number).type) for number in range(kind.num_fields))


def _batch_texts(batch: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    for field in batch.schema:
        if _holds_text(field.type) and (strings := list(_strings(batch.column(field.name).to_pylist()))):
            yield field.name, "\n".join(strings)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))
