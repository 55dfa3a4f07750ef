"""Looks for documents in the Parquet files that stages leave: which hold one, what a ledger says of one, who shares its text.

Every function takes an open binary file, wherever it lies, and reads no more columns and row groups of it than it needs: of a file that
is ordered by id, those whose first and last id leave room for the one that is looked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.documents.ledger import CLOSING

_ID = re.compile(r"\b[0-9a-f]{16}\b")
_ROWS = 256


@dataclass(frozen=True, order=True)
class Document:
    """A document as ingest named it: `path` is its name inside its source, `parts` how many files it was joined from."""

    id: str
    source: str
    path: str
    title: str
    parts: int = 1

    @property
    def name(self) -> str:
        """Source and path, as a person would write them."""
        return f"{self.source}/{self.path}"

    def called(self, text: str) -> bool:
        """Whether `text` is its id, its title, its path with or without the source, or its file's name."""
        return text in (self.id, self.title, self.path, self.name, PurePosixPath(self.path).name)


def documents(stream: IO[bytes]) -> Iterator[Document]:
    """The documents of a file that ingest wrote, in its order, without their texts."""
    for row in _rows(stream, ("id", "source", "title", "metadata")):
        metadata = json.loads(row["metadata"])
        yield Document(row["id"], row["source"], str(metadata.get("path", "")), row["title"], int(metadata.get("parts", 1)))


def quarantined(stream: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    """(source, path, reason) of every file that ingest put aside."""
    for row in _rows(stream, ("source", "path", "reason")):
        yield row["source"], row["path"], row["reason"]


def holds(stream: IO[bytes], identity: str, columns: Sequence[str] = ("id",)) -> bool:
    """Whether a table has a row of a document, in one of the columns that name documents."""
    if tuple(columns) == ("id",):
        return next(rows_of(stream, identity, columns), None) is not None
    return any(identity in row.values() for row in _rows(stream, columns))


def splits_of(stream: IO[bytes], identity: str) -> dict[str, tuple[int, int]]:
    """Split -> (first row, last row) of a document, from the account that packing wrote."""
    rows = _rows(stream, ("id", "split", "first_row", "last_row"))
    return {row["split"]: (row["first_row"], row["last_row"]) for row in rows if row["id"] == identity}


def fate(stream: IO[bytes], identity: str) -> tuple[str, str, str]:
    """(action, rule, detail) of a ledger's closing row of a document: kept, removed, duplicate or quarantined; empty when it has none."""
    rows = rows_of(stream, identity, ("id", "action", "rule", "detail"))
    return next(((row["action"], row["rule"], row["detail"]) for row in rows if row["action"] in CLOSING), ("", "", ""))


@dataclass(frozen=True)
class Kin:
    """Who shares a document's text, by deduplication's ledger."""

    kept_instead: str = ""
    why: str = ""
    duplicates: tuple[str, ...] = ()
    passages_kept_in: tuple[str, ...] = ()
    passages_taken_from: tuple[str, ...] = ()


def kin(stream: IO[bytes], identity: str) -> Kin:
    """The document that was kept in a document's place, those that it stands for, and those that share passages with it.

    A passage is whatever a rule cuts out (line, paragraph, a run of words) because it stands in another document, which its row names.
    """
    instead, why = "", ""
    duplicates: list[str] = []
    kept_in: set[str] = set()
    taken_from: set[str] = set()
    for row in _rows(stream, ("id", "action", "detail")):
        named = [other for other in _ID.findall(row["detail"]) if other != row["id"]]
        if not named:
            continue
        if row["action"] == "duplicate":
            if row["id"] == identity:
                instead, why = named[0], row["detail"]
            elif named[0] == identity:
                duplicates.append(row["id"])
        elif row["action"] in ("cut", "changed"):
            if row["id"] == identity:
                kept_in.update(named)
            elif identity in named:
                taken_from.add(row["id"])
    return Kin(instead, why, tuple(duplicates), tuple(sorted(kept_in)), tuple(sorted(taken_from)))


def text_digests(stream: IO[bytes]) -> dict[str, str]:
    """Id -> sha256 of the text, of every document of a file."""
    return {row["id"]: hashlib.sha256(row["text"].encode()).hexdigest() for row in _rows(stream, ("id", "text"))}


def text_of(stream: IO[bytes], identity: str) -> str:
    """A document's text, or "" when the file doesn't hold it."""
    return next((row["text"] for row in rows_of(stream, identity, ("id", "text"))), "")


def rows_of(stream: IO[bytes], identity: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a document, in their order. Holds the rows of one row group at a time, and only of groups that have one."""
    with pq.ParquetFile(stream) as file:
        place = file.schema_arrow.get_field_index("id")
        for number in range(file.num_row_groups):
            known = file.metadata.row_group(number).column(place).statistics
            if known is not None and known.has_min_max and not str(known.min) <= identity <= str(known.max):
                continue
            found = pc.equal(file.read_row_group(number, columns=["id"])["id"], pa.scalar(identity))
            if pc.any(found).as_py():
                yield from file.read_row_group(number, columns=list(columns) if columns else None).filter(found).to_pylist()


def head(stream: IO[bytes], most: int) -> list[dict[str, Any]]:
    """The first rows of a table."""
    with pq.ParquetFile(stream) as file:
        first = next(file.iter_batches(max(most, 1)), None)
        return [] if first is None else first.to_pylist()[:most]


def count(stream: IO[bytes]) -> int:
    """How many rows a table has."""
    return int(pq.read_metadata(stream).num_rows)


def _rows(stream: IO[bytes], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(stream).iter_batches(_ROWS, columns=list(columns)):
        yield from batch.to_pylist()
