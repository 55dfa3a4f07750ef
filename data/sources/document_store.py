"""Collects texts one at a time, in any order, and writes them as the documents that the next stage reads.

A work becomes a document if any of its parts is readable; unreadable parts are quarantined with their reasons. Every text added has a
ledger row. The output depends on the texts alone, not on their order, nor on threads or memory.

Texts wait in files under `folder`, one for each of BINS ranges of ids. DuckDB sorts only where they lie; each bin is then read in order of
ids. Sorting the texts themselves in DuckDB needs more memory than its limit: DuckDB 2.0 fails on 0.8 GB with 0.3 GB.
Memory: the longest document, one row group and, within DuckDB's limit, the sorted locations. Disk: the size of the texts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from data.conversations.read import transcript
from data.documents.database import Database, open_database, parquet
from data.documents.identity import document_id, text_digest
from data.documents.ledger import Unbalanced
from data.documents.rows import RowWriter, rows_in_session, write_query
from data.documents.schema import LEDGER, QUARANTINE
from data.documents.sharding import shard_of
from data.documents.stream import DocumentWriter
from data.sources.errors import SourceError
from data.sources.languages import language_of
from data.sources.titles import name_disagrees, name_title, tidy_title, title_of
from data.sources.unpacking.contents import Fault, SourceText

BINS = 64
SHOWN = 8
"""Places in an error."""
CONVERSATION = "conversation"
DESCRIPTION = ("source", "work", "part", "kind", "format", "encoding", "title", "url", "maker", "form", "licence")
LOCATIONS = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", *DESCRIPTION)] + [pa.field(name, pa.int64()) for name in ("bin", "start", "size")]
)
KEPT = pa.schema({"id": pa.string()} | {"characters": pa.int64()})
QUARANTINED = pa.schema({name: pa.string() for name in ("id", "source", "path", "reason")})
LEDGER_QUERY = Path(__file__).with_name("ledger.sql")


class DocumentStore:
    """The documents of one shard.

    `folder`: an empty folder for their texts; `shards`: how many shards there are; `without`: digests of texts that are left out, and ids.
    A document with such an id comes here only if it is a record that its number names."""

    def __init__(self, folder: Path, shards: int, without: frozenset[str] = frozenset()) -> None:
        self.documents: Counter[str] = Counter()
        self._folder, self._shards = folder, shards
        self._added = 0
        self._excluded: set[str] = set()
        self._without = without
        self._locations = RowWriter(folder / "locations.parquet", LOCATIONS)
        self._quarantined = RowWriter(folder / "quarantined.parquet", QUARANTINED)
        self._bins: dict[int, IO[bytes]] = {}

    def add(self, item: SourceText) -> None:
        """Add a document or a part of one."""
        identity = document_id(item.source, item.work)
        # A lone surrogate, which UTF-16 and JSON allow, has no UTF-8 form, and Parquet needs one.
        text = item.text.encode("utf-8", "replace")
        number = shard_of(identity, BINS * self._shards) % BINS
        if number not in self._bins:
            self._bins[number] = (self._folder / f"{number}.texts").open("w+b", buffering=1 << 16)
        start = self._bins[number].tell()
        self._bins[number].write(text)
        row = {name: _as_utf8(getattr(item, name)) for name in DESCRIPTION}
        self._locations.write(row | {"id": identity, "bin": number, "start": start, "size": len(text)})
        self._added += 1

    def quarantine(self, fault: Fault) -> None:
        """Record a file or a record that gives no text."""
        row = {"source": fault.source, "path": _as_utf8(fault.path), "reason": _as_utf8(fault.reason)[:2000]}
        self._quarantined.write(row | {"id": document_id(fault.source, fault.path)})
        self._added += 1

    def exclude(self, documents: set[str]) -> None:
        """Record documents that the recipe excludes."""
        self._excluded |= documents

    def write(self, output: Path, *, threads: int, memory: str, scratch: Path) -> dict[str, float]:
        """Write documents.parquet, quarantine.parquet and ledger.parquet; return the stage's counts.

        Raise SourceError when two works have the same name, and for an id of `without` that is the place of a record."""
        self._locations.close()
        self._quarantined.close()
        kept = RowWriter(self._folder / "kept.parquet", KEPT)
        counts = dict.fromkeys(("documents", "quarantined", "characters", "bytes", "joined_parts"), 0.0)
        texts = 0
        places: list[str] = []
        with open_database(scratch, threads=threads, memory=memory) as database:
            with DocumentWriter(output / "documents.parquet") as documents:
                for row, parts, size in self._read_works(database):
                    digest = text_digest(row["text"]) if self._without else ""
                    if row["id"] in self._without:
                        places.append(f"{row['id']} is {row['source']}/{json.loads(row['metadata'])['path']}: write {digest}")
                    if row["id"] in self._without or digest in self._without:
                        self._excluded.add(row["id"])
                        texts += parts
                        continue
                    documents.write(row)
                    kept.write({"id": row["id"], "characters": len(row["text"])})
                    self.documents[row["source"]] += 1
                    texts += parts
                    for name, more in zip(counts, (1, 0, len(row["text"]), size, parts if parts > 1 else 0), strict=True):
                        counts[name] += more
            kept.close()
            if places:
                others = f"; and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
                raise SourceError(
                    "ingest.without names records by their place, which is another record's once a line before it is gone. Write the "
                    f"digest of the text instead of the id, if that text is meant: {'; '.join(places[:SHOWN])}{others}"
                )
            quarantined = parquet([self._folder / "quarantined.parquet"])
            counts["quarantined"] = float(self._quarantined.count)
            if texts + self._quarantined.count != self._added:
                raise Unbalanced(f"ingest read {self._added} files and records, but kept {texts} and quarantined {self._quarantined.count}")
            query = f"SELECT source, path, reason FROM {quarantined} ORDER BY source, path, reason"
            write_query(database, query, output / "quarantine.parquet", QUARANTINE)
            database.connection.execute(f"CREATE VIEW quarantined AS FROM {quarantined}")
            database.connection.execute(f"CREATE VIEW kept AS FROM {parquet([self._folder / 'kept.parquet'])}")
            database.connection.register("excluded", pa.table({"id": pa.array(sorted(self._excluded), pa.string())}))
            write_query(database, LEDGER_QUERY.read_text("utf-8"), output / "ledger.parquet", LEDGER)
        return counts

    def close(self) -> None:
        """Close the files of texts."""
        for stream in self._bins.values():
            stream.close()

    def _read_works(self, database: Database) -> Iterator[tuple[dict[str, Any], int, int]]:
        """Yield (row, number of parts, bytes) of every work, by id."""
        locations = rows_in_session(database, f"SELECT * FROM {parquet([self._folder / 'locations.parquet'])} ORDER BY id, part")
        for identity, group in groupby(locations, key=lambda location: location["id"]):
            parts = list(group)
            for one, other in pairwise(parts):
                if one["part"] == other["part"] or {one["kind"], other["kind"]} != {"part"} or one["work"] != other["work"]:
                    raise SourceError(_same_name_message(one, other))
            text = "\n\n".join(self._read_text(location) for location in parts)
            told = {"conversation": text} if parts[0]["form"] == CONVERSATION else {}
            text = transcript(json.loads(text)) if told else text
            row = {"id": identity, "source": parts[0]["source"], "text": text, "synthetic": bool(parts[0]["maker"])}
            size = len(text.encode()) if told else sum(location["size"] for location in parts)
            yield row | _describe(parts, text, told), len(parts), size

    def _read_text(self, location: dict[str, Any]) -> str:
        stream = self._bins[location["bin"]]
        stream.seek(location["start"])
        return stream.read(location["size"]).decode("utf-8")


def _describe(parts: list[dict[str, Any]], text: str, told: dict[str, str]) -> dict[str, str]:
    """Return title and metadata of a work; `told`: of a conversation what its text is a transcript of, as JSON text."""
    first, path = parts[0], parts[0]["work"]
    metadata: dict[str, Any] = {**told, "path": path, "format": "+".join(sorted({part["format"] for part in parts}))}
    if encodings := sorted({part["encoding"] for part in parts} - {""}):
        metadata["encoding"] = "+".join(encodings)
    if first["format"] == "code" and (language := language_of(path)):
        metadata["programming_language"] = language
    if first["url"]:
        metadata["url"] = first["url"]
    if first["maker"]:
        metadata["maker"] = first["maker"]
    if stated := sorted({part["licence"] for part in parts} - {""}):
        metadata["licence"] = "; ".join(stated)
    if len(parts) > 1:
        metadata["parts"] = len(parts)
    if first["kind"] != "record" and name_disagrees(path, text):
        metadata["title_mismatch"] = True
    title = tidy_title(first["title"]) if len(parts) == 1 else ""
    title = title or (name_title(path) if len(parts) > 1 else title_of(path, text))
    return {"title": title, "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True)}


def _same_name_message(one: dict[str, Any], other: dict[str, Any]) -> str:
    name = f"{one['source']}/{one['work']}"
    if one["kind"] == "record" == other["kind"]:
        return f"two records are both {name}: `id_field` must differ in every record of a file; null names records by their number"
    return f"two files are both {name}: give the sources different names"


def _as_utf8(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
