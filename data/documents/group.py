"""Rows on their way into a Parquet file: of a row group a few are Python objects, the others are as Arrow holds them.

A row of short strings takes ten times as much as a dict as it does in Arrow; a group of many such rows would weigh more than all its text.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_CHARACTERS = 4_000_000
LOOSE_ROWS = 512
LOOSE_CHARACTERS = 1_000_000


class Group:
    """Rows in the order given, and how many characters their strings have."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._packed: list[pa.Table] = []
        self._loose: list[dict[str, Any]] = []
        self._fresh = 0
        self.rows, self.characters = 0, 0

    def add(self, row: dict[str, Any], characters: int) -> None:
        """Adds a row that is said to have so many characters."""
        self._loose.append(row)
        self._fresh += characters
        self.rows += 1
        self.characters += characters
        if len(self._loose) >= LOOSE_ROWS or self._fresh >= LOOSE_CHARACTERS:
            self._pack()

    def take(self) -> pa.Table:
        """All rows as one piece, as if they had never been apart; the group is empty then."""
        self._pack()
        table = pa.concat_tables(self._packed).combine_chunks() if self._packed else self._schema.empty_table()
        self._packed, self.rows, self.characters = [], 0, 0
        return table

    def _pack(self) -> None:
        if self._loose:
            self._packed.append(pa.Table.from_pylist(self._loose, schema=self._schema))
        self._loose, self._fresh = [], 0


class RowWriter:
    """Writes rows to one Parquet file, in the order given; groups close by what they hold, so equal rows give equal bytes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._group = Group(schema)
        self.count = 0

    def write(self, row: dict[str, Any]) -> None:
        """Add one row."""
        self._group.add(row, self._characters(row))
        self.count += 1
        if self._full(self._group):
            self._flush()

    def close(self, *, whole: bool = True) -> None:
        """End the file; without `whole`, as an error left it."""
        if whole:
            self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(whole=kind is None)

    def _characters(self, row: dict[str, Any]) -> int:
        return sum(len(value) for value in row.values() if isinstance(value, str))

    def _full(self, group: Group) -> bool:
        return group.characters >= GROUP_CHARACTERS

    def _flush(self) -> None:
        if self._group.rows:
            self._writer.write_table(self._group.take())
