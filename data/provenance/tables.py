"""Query the Parquet files that stages write: which hold a document, its ledger rows, and which documents share its text.

Every function takes an open binary file, local or remote, and reads only the columns and row groups it needs: in a file ordered by id, the
row groups whose id range includes the document. Arrow is loaded when a table is read: stages name these functions for their lineage, and a
run that reuses everything calls none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from data.sources.formats import RECORDS

_ID = re.compile(r"\b[0-9a-f]{16}\b")
_ROWS = 256


@dataclass(frozen=True, order=True)
class IngestedDocument:
    """A document as ingest named it: `path` is its name within its source, `parts` the number of files it was joined from.

    `format`: of its file, "" where ingest did not tell.
    """

    id: str
    source: str
    path: str
    title: str
    parts: int = 1
    format: str = ""

    @property
    def is_record(self) -> bool:
        """Whether it is one of many in its file, whose name may be its number there."""
        return "#" in self.path and (not self.format or self.format in RECORDS)

    @property
    def name(self) -> str:
        """Source and path, joined by a slash."""
        return f"{self.source}/{self.path}"

    def is_called(self, text: str) -> bool:
        """Whether `text` is the document's id, its title, its path with or without the source, or its file name."""
        return text in (self.id, self.title, self.path, self.name, PurePosixPath(self.path).name)


def documents(stream: IO[bytes]) -> Iterator[IngestedDocument]:
    """Yield the documents of a file that ingest wrote, in its order, without their texts."""
    for row in _rows(stream, ("id", "source", "title", "metadata")):
        metadata = json.loads(row["metadata"])
        path, parts, form = str(metadata.get("path", "")), int(metadata.get("parts", 1)), str(metadata.get("format", ""))
        yield IngestedDocument(row["id"], row["source"], path, row["title"], parts, form)


def quarantined(stream: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    """Yield (source, path, reason) for every file that ingest quarantined."""
    for row in _rows(stream, ("source", "path", "reason")):
        yield row["source"], row["path"], row["reason"]


def has_document(stream: IO[bytes], identity: str, columns: Sequence[str] = ("id",)) -> bool:
    """Whether a table names a document in any of these columns."""
    if tuple(columns) == ("id",):
        return next(rows_of(stream, identity, columns), None) is not None
    return any(identity in row.values() for row in _rows(stream, columns))


def splits_of(stream: IO[bytes], identity: str) -> dict[str, tuple[int, int]]:
    """Return split -> (first row, last row) of a document, from the documents.parquet that packing wrote; over all passes, if several."""
    found: dict[str, tuple[int, int]] = {}
    for row in _rows(stream, ("id", "split", "first_row", "last_row")):
        if row["id"] == identity:
            first, last = found.get(row["split"], (row["first_row"], row["last_row"]))
            found[row["split"]] = min(first, row["first_row"]), max(last, row["last_row"])
    return found


def closing_row(stream: IO[bytes], identity: str) -> tuple[str, str, str]:
    """Return (action, rule, detail) of a document's closing row in a ledger; empty strings if it has none."""
    from data.documents.ledger import CLOSING

    rows = rows_of(stream, identity, ("id", "action", "rule", "detail"))
    return next(((row["action"], row["rule"], row["detail"]) for row in rows if row["action"] in CLOSING), ("", "", ""))


@dataclass(frozen=True)
class SharedText:
    """The documents that share a document's text, according to the ledger of deduplication."""

    kept_instead: str = ""
    why: str = ""
    duplicates: tuple[str, ...] = ()
    passages_kept_in: tuple[str, ...] = ()
    passages_taken_from: tuple[str, ...] = ()


def find_shared_text(stream: IO[bytes], identity: str) -> SharedText:
    """Return the document kept instead of this one, the duplicates removed in favor of it, and the documents that share passages with it.

    A passage is a line, a paragraph or a run of words that a rule cut because another document, named in the row, holds it first.
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
    return SharedText(instead, why, tuple(duplicates), tuple(sorted(kept_in)), tuple(sorted(taken_from)))


def text_digests(stream: IO[bytes]) -> dict[str, str]:
    """Return id -> sha256 of the text for every document of a file."""
    return {identity: hashlib.sha256(text.encode()).hexdigest() for identity, text in document_texts(stream)}


def document_texts(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of every document of a file."""
    for row in _rows(stream, ("id", "text")):
        yield row["id"], row["text"]


def text_of(stream: IO[bytes], identity: str) -> str:
    """Return a document's text, or "" if the file doesn't hold it."""
    return next((row["text"] for row in rows_of(stream, identity, ("id", "text"))), "")


def rows_of(stream: IO[bytes], identity: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a document in order. Only row groups that hold one are read in full, one at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(stream) as file:
        id_column = file.schema_arrow.get_field_index("id")
        for number in range(file.num_row_groups):
            bounds = file.metadata.row_group(number).column(id_column).statistics
            if bounds is not None and bounds.has_min_max and not str(bounds.min) <= identity <= str(bounds.max):
                continue
            matches = pc.equal(file.read_row_group(number, columns=["id"])["id"], pa.scalar(identity))
            if pc.any(matches).as_py():
                yield from file.read_row_group(number, columns=list(columns) if columns else None).filter(matches).to_pylist()


def first_rows(stream: IO[bytes], most: int) -> list[dict[str, Any]]:
    """Return the first rows of a table, at most `most`."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(stream) as file:
        first = next(file.iter_batches(max(most, 1)), None)
        return [] if first is None else first.to_pylist()[:most]


def all_rows(stream: IO[bytes]) -> list[dict[str, Any]]:
    """Return all rows of a table that is known to be small."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(stream) as file:
        rows: list[dict[str, Any]] = file.read().to_pylist()  # `pq.read_table` would load pandas
        return rows


def count_rows(stream: IO[bytes]) -> int:
    """Return the number of rows of a table, without reading them."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(stream).num_rows)


def _rows(stream: IO[bytes], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(stream).iter_batches(_ROWS, columns=list(columns)):
        yield from batch.to_pylist()


def lines_naming(stream: IO[bytes], identity: str) -> tuple[list[int], bool]:
    """Return the numbers (from 1) of the lines that name a document, and whether every line lists its books.

    A line names documents in `books`, or one at the beginning of its `fact`.
    """
    numbers, complete = [], True
    for number, line in enumerate(stream, start=1):
        if line.strip():
            row = json.loads(line)
            complete = complete and "books" in row
            if identity in (*row.get("books", ()), str(row.get("fact", "")).partition(":")[0]):
                numbers.append(number)
    return numbers, complete


def lines_quoting(stream: IO[bytes], text: str, least: int = 8) -> list[int]:
    """Return the numbers (from 1) of the lines in which any string shares `least` consecutive words with a text."""
    flat = f" {' '.join(text.split())} "
    numbers = []
    for number, line in enumerate(stream, start=1):
        strings = [words for words in map(str.split, _strings(json.loads(line))) if len(words) >= least] if line.strip() else []
        if any(f" {' '.join(words[i : i + least])} " in flat for words in strings for i in range(len(words) - least + 1)):
            numbers.append(number)
    return numbers


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
