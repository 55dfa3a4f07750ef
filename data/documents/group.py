"""Rows of a Parquet file on their way into one row group: a few as Python objects, the others as Arrow holds them.

A row of short strings takes ten times as much as a dict as it does in Arrow; a group of many such rows would weigh more than all its text.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

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
