"""Writes the documents of a shard, and beside them what of each needs no text."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from data.documents.rows import RowWriter
from data.documents.schema import SIZES
from data.documents.stream import DocumentWriter


class SizedWriter:
    """Writes documents to one file, and their id, source, `synthetic` and number of characters to another."""

    def __init__(self, documents: Path, sizes: Path) -> None:
        self._documents, self._sizes = DocumentWriter(documents), RowWriter(sizes, SIZES)

    def write(self, row: dict[str, Any]) -> None:
        """Append a document."""
        self._documents.write(row)
        self._sizes.write({**{name: row[name] for name in ("id", "source", "synthetic")}, "characters": len(row["text"])})

    def close(self, *, complete: bool = True) -> None:
        """Close both files. With `complete=False`, after an error, drop the rows of unfinished groups."""
        self._documents.close(complete=complete)
        self._sizes.close(complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)
