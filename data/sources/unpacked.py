"""Unpacked archives, divided among the shards: one Parquet file for each, with the rows of its documents by id.

A slice depends on what its shard gets of the files alone, so a record that is edited changes one slice. Rows wait in one file under
`scratch` until all are there; DuckDB sorts only where they lie. Memory: the largest document, one row group and, within DuckDB's limit, the
sorted places. Disk: the size of what was unpacked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import open_database, parquet
from data.documents.rows import RowWriter, rows
from data.documents.sharding import SLICE, document_id, shard_of, text_digest


class SourceText(NamedTuple):
    """One text read from a source, and what is known about it.

    `kind`: file, part (a file joined with others into one work) or record; `part`: name of the file or record; `maker`: what wrote a
    synthetic text, else ""; `form`: conversation where the text is one, as a JSON object, else ""; `licence`: its own terms, if any."""

    source: str
    work: str
    part: str
    kind: str
    text: str
    format: str
    encoding: str = ""
    title: str = ""
    url: str = ""
    maker: str = ""
    form: str = ""
    licence: str = ""


class Fault(NamedTuple):
    """A file, a record or a piece that gives no text, and why. `work`: the work to whose shard the row belongs."""

    source: str
    work: str
    path: str
    reason: str


class Unread(NamedTuple):
    """A document whose bytes are there and are still to be read.

    `work`: the name of its work; `record`: its name if it is a record, else ""; `declared`: the charset that a server sent with it;
    `container`: the format of the file that it is a record of, else ""."""

    source: str
    work: str
    name: str
    record: str
    format: str
    content: bytes
    declared: str = ""
    url: str = ""
    container: str = ""
    licence: str = ""


class Contents(Protocol):
    """Where texts and faults go."""

    def add(self, item: SourceText) -> None:
        """Add a text."""

    def quarantine(self, fault: Fault) -> None:
        """Add a fault."""


TEXTS, NUMBERS = ("id", "item", "fields"), ("shard", "start", "size")
ITEM = pa.schema([pa.field(name, pa.string()) for name in TEXTS] + [pa.field("content", pa.binary())])
PLACES = pa.schema([pa.field(name, pa.string()) for name in TEXTS] + [pa.field(name, pa.int64()) for name in NUMBERS])
KINDS: dict[str, type[SourceText | Unread | Fault]] = {"text": SourceText, "document": Unread, "fault": Fault}
EXCLUDED = "excluded"
HELD = frozenset({"text", "document"})  # items that hold a document's words


class _ItemWriter(RowWriter):
    """Writes a slice; a row group closes by the bytes in it."""

    def _characters(self, row: dict[str, Any]) -> int:
        return len(row["content"]) + len(row["fields"])


class SliceWriter:
    """Collects what files hold, in any order, and writes the slice of each of `shards` shards.

    `folder`: an empty folder; `without`: sha256 of texts of which no slice keeps more than the id of their document."""

    def __init__(self, folder: Path, shards: int, without: frozenset[str] = frozenset()) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys((*KINDS, EXCLUDED), 0))
        self._shards, self._without = shards, without
        self._places = RowWriter(folder / "places.parquet", PLACES)
        self._path, self._content = folder / "places.parquet", folder / "content"
        self._stream: IO[bytes] = self._content.open("w+b", buffering=1 << 16)

    def add(self, item: SourceText) -> None:
        """Add a text. A lone surrogate has no UTF-8 form."""
        identity, content = document_id(item.source, item.work), item.text.encode("utf-8", "replace")
        if item.kind != "part" and self._without and text_digest(content.decode("utf-8")) in self._without:
            self._write(identity, EXCLUDED, {}, b"")
        else:
            self._write(identity, "text", item._replace(text="")._asdict(), content)

    def add_unread(self, item: Unread) -> None:
        """Add a document that its shard is to read."""
        self._write(document_id(item.source, item.work), "document", item._replace(content=b"")._asdict() | {"content": ""}, item.content)

    def quarantine(self, fault: Fault) -> None:
        """Add a fault."""
        self._write(document_id(fault.source, fault.work), "fault", fault._asdict(), b"")

    def exclude(self, documents: set[str]) -> None:
        """Add documents that the recipe excludes, by id."""
        for identity in sorted(documents):
            self._write(identity, EXCLUDED, {}, b"")

    def write(self, output: Path, *, threads: int, memory: str, scratch: Path) -> None:
        """Write a slice for every shard."""
        self._places.close()
        with open_database(scratch, threads=threads, memory=memory) as database:
            query = f"SELECT * FROM {parquet([self._path])} ORDER BY shard, id, start, item, fields"
            sorted_rows = rows(database, query)
            row = next(sorted_rows, None)
            for shard in range(self._shards):
                with _ItemWriter(output / SLICE.format(shard), ITEM) as writer:
                    while row is not None and row["shard"] == shard:
                        self._stream.seek(row["start"])
                        content = self._stream.read(row["size"])
                        writer.write({"id": row["id"], "item": row["item"], "fields": row["fields"], "content": content})
                        row = next(sorted_rows, None)

    def close(self) -> None:
        """Close the files under `folder`."""
        self._stream.close()

    def _write(self, identity: str, item: str, fields: dict[str, Any], content: bytes) -> None:
        place = {"start": self._stream.tell(), "size": len(content), "shard": shard_of(identity, self._shards)}
        self._stream.write(content)
        # ASCII, since a name may hold what UTF-8 can't.
        self._places.write({"id": identity, "item": item, "fields": json.dumps(fields, sort_keys=True), **place})
        self.counts[item] += 1


def read_slices(slices: Sequence[Path]) -> Iterator[SourceText | Unread | Fault | str]:
    """Yield what a shard's slices hold, slice by slice; an excluded document as its id. Memory: one row group."""
    for path in slices:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # or all of the file would be in memory
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    yield _item(row)


def _item(row: dict[str, Any]) -> SourceText | Unread | Fault | str:
    if row["item"] == EXCLUDED:
        return str(row["id"])
    fields = json.loads(row["fields"])
    if row["item"] == "text":
        return SourceText(**fields | {"text": row["content"].decode("utf-8")})
    return Unread(**fields | {"content": row["content"]}) if row["item"] == "document" else Fault(**fields)
