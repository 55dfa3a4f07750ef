"""Takes documents in, one at a time and in any order, and writes them as the files that the next stage reads.

Guarantees: a work of which any part is text is a document, the parts that are none are quarantined with their reasons; every piece that was
taken in stands in the ledger; what is written depends on the pieces alone, not on their order, nor on threads or memory.
Texts wait in files under `scratch`, one for each of BINS ranges of ids; their places are sorted by DuckDB, and each bin is then read
in the order of its ids. Sorting the texts themselves there needs more memory than it is given: DuckDB 2.0 fails on 0.8 GB with 0.3 GB.
Memory: the longest document, a row group and, within DuckDB's limit, the places while they are sorted. Disk: the size of the texts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from data.documents.database import Database, open_database, parquet
from data.documents.ledger import Unbalanced
from data.documents.rows import RowWriter, rows_in_session, write_query
from data.documents.schema import LEDGER, QUARANTINE, document_id
from data.documents.sharding import shard_of
from data.documents.stream import DocumentWriter
from data.sources.errors import SourceError
from data.sources.titles import name_disagrees, name_title, tidy_title, title_of

BINS = 64
WORDS = ("source", "work", "part", "kind", "format", "encoding", "title", "address", "maker")
PLACES = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", *WORDS)] + [pa.field(name, pa.int64()) for name in ("bin", "start", "size")]
)
KEPT = pa.schema({"id": pa.string()} | {"characters": pa.int64()})
ASIDE = pa.schema({name: pa.string() for name in ("id", "source", "path", "reason")})
STATEMENTS = Path(__file__).with_name("ledger.sql")


class Piece(NamedTuple):
    """A text. `kind`: file, part (of a work that is joined of several files) or record; `part`: the name of the file or record; `maker`:
    the machine that wrote it, if one did."""

    source: str
    work: str
    part: str
    kind: str
    text: str
    format: str
    encoding: str = ""
    title: str = ""
    address: str = ""
    maker: str = ""


class Shelf:
    """The works of a shard. `folder`: an empty folder to keep their texts in; `shards`: how many shards there are."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.documents: Counter[str] = Counter()
        self._folder, self._shards = folder, shards
        self._seen = 0
        self._left_out: set[str] = set()
        self._places = RowWriter(folder / "places.parquet", PLACES)
        self._aside = RowWriter(folder / "aside.parquet", ASIDE)
        self._bins: dict[int, IO[bytes]] = {}

    def take(self, piece: Piece) -> None:
        """Keep a document or a part of one."""
        identity = document_id(piece.source, piece.work)
        # A lone surrogate (possible in UTF-16 and JSON) has no UTF-8 form, which Parquet asks for.
        text = piece.text.encode("utf-8", "replace")
        number = shard_of(identity, BINS * self._shards) % BINS
        if number not in self._bins:
            self._bins[number] = (self._folder / f"{number}.texts").open("w+b", buffering=1 << 16)
        start = self._bins[number].tell()
        self._bins[number].write(text)
        row = {name: _clean(getattr(piece, name)) for name in WORDS}
        self._places.write(row | {"id": identity, "bin": number, "start": start, "size": len(text)})
        self._seen += 1

    def put_aside(self, source: str, path: str, reason: str) -> None:
        """Account for a file or a record that gives no text."""
        row = {"source": source, "path": _clean(path), "reason": _clean(reason)[:2000]}
        self._aside.write(row | {"id": document_id(source, path)})
        self._seen += 1

    def leave_out(self, documents: set[str]) -> None:
        """Account for documents that the recipe says are never to be read."""
        self._left_out |= documents

    def write(self, output: Path, *, threads: int, memory: str, scratch: Path) -> dict[str, float]:
        """Write documents.parquet, quarantine.parquet and ledger.parquet; returns the counts of the stage.

        Raises SourceError when two works have one name."""
        self._places.close()
        self._aside.close()
        kept = RowWriter(self._folder / "kept.parquet", KEPT)
        counts = dict.fromkeys(("documents", "quarantined", "characters", "bytes", "joined_parts"), 0.0)
        pieces = 0
        with open_database(scratch, threads=threads, memory=memory) as work:
            with DocumentWriter(output / "documents.parquet") as documents:
                for row, parts, size in self._works(work):
                    documents.write(row)
                    kept.write({"id": row["id"], "characters": len(row["text"])})
                    self.documents[row["source"]] += 1
                    pieces += parts
                    for name, more in zip(counts, (1, 0, len(row["text"]), size, parts if parts > 1 else 0), strict=True):
                        counts[name] += more
            kept.close()
            aside = parquet([self._folder / "aside.parquet"])
            counts["quarantined"] = float(self._aside.count)
            if pieces + self._aside.count != self._seen:
                raise Unbalanced(f"ingest took in {self._seen} files and records, kept {pieces} and put {self._aside.count} aside")
            write_query(
                work, f"SELECT source, path, reason FROM {aside} ORDER BY source, path, reason", output / "quarantine.parquet", QUARANTINE
            )
            work.connection.execute(f"CREATE VIEW aside AS FROM {aside}")
            work.connection.execute(f"CREATE VIEW kept AS FROM {parquet([self._folder / 'kept.parquet'])}")
            work.connection.register("left_out", pa.table({"id": pa.array(sorted(self._left_out), pa.string())}))
            write_query(work, STATEMENTS.read_text("utf-8"), output / "ledger.parquet", LEDGER)
        return counts

    def close(self) -> None:
        """Let go of the files of texts."""
        for stream in self._bins.values():
            stream.close()

    def _works(self, work: Database) -> Iterator[tuple[dict[str, Any], int, int]]:
        """(row, parts, bytes) of every work, by id."""
        places = rows_in_session(work, f"SELECT * FROM {parquet([self._folder / 'places.parquet'])} ORDER BY id, part")
        for identity, group in groupby(places, key=lambda place: place["id"]):
            parts = list(group)
            for one, other in pairwise(parts):
                if one["part"] == other["part"] or {one["kind"], other["kind"]} != {"part"} or one["work"] != other["work"]:
                    raise SourceError(_twice(one, other))
            text = "\n\n".join(self._text(place) for place in parts)
            row = {"id": identity, "source": parts[0]["source"], "text": text, "synthetic": bool(parts[0]["maker"])}
            yield row | _described(parts, text), len(parts), sum(place["size"] for place in parts)

    def _text(self, place: dict[str, Any]) -> str:
        stream = self._bins[place["bin"]]
        stream.seek(place["start"])
        return stream.read(place["size"]).decode("utf-8")


def _described(parts: list[dict[str, Any]], text: str) -> dict[str, str]:
    """Title and metadata of a work."""
    first, path = parts[0], parts[0]["work"]
    told: dict[str, Any] = {"path": path, "format": "+".join(sorted({part["format"] for part in parts}))}
    if encodings := sorted({part["encoding"] for part in parts} - {""}):
        told["encoding"] = "+".join(encodings)
    if first["address"]:
        told["url"] = first["address"]
    if first["maker"]:
        told["maker"] = first["maker"]
    if len(parts) > 1:
        told["parts"] = len(parts)
    if first["kind"] != "record" and name_disagrees(path, text):
        told["title_mismatch"] = True
    title = tidy_title(first["title"]) if len(parts) == 1 else ""
    title = title or (name_title(path) if len(parts) > 1 else title_of(path, text))
    return {"title": title, "metadata": json.dumps(told, ensure_ascii=False, sort_keys=True)}


def _twice(one: dict[str, Any], other: dict[str, Any]) -> str:
    name = f"{one['source']}/{one['work']}"
    if one["kind"] == "record" == other["kind"]:
        return f"two records are both {name}: `id_field` must differ in every record of a file; null calls them by their numbers"
    return f"two files are both {name}: give the sources different names"


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
