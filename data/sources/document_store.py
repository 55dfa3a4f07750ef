"""Collects texts one at a time, in any order, and writes them as the documents that the next stage reads.

A work becomes a document if any of its parts is readable; unreadable parts are quarantined with their reasons. Every text added has a
ledger row. The output depends on the texts alone, not on their order, nor on threads or memory.

Texts wait in files under `folder`, one for each of BINS ranges of ids. DuckDB sorts only where they lie; each bin is then read in order of
ids. Sorting the texts themselves in DuckDB needs more memory than its limit: DuckDB 2.0 fails on 0.8 GB with 0.3 GB.
Memory: the longest document, one row group and, within DuckDB's limit, the sorted locations. Disk: the size of the texts.

Finds a work's title: from its text where that states one, else from the file's name.

A title is never empty, has at most 120 characters, and depends on name and text alone. Project Gutenberg's "Title:" line is taken first.
Otherwise the first line after any credits is the title if it is short, stands apart from what follows and doesn't read like a sentence, a
quotation or a chapter heading. The text wins over the file's name, which may be wrong: see `name_disagrees`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from data.conversations.records import transcript
from data.documents.database import Database, open_database, parquet
from data.documents.ledger import Unbalanced
from data.documents.rows import LEDGER, QUARANTINE, RowWriter, rows_in_session, write_query
from data.documents.sharding import document_id, shard_of, text_digest
from data.documents.stream import DocumentWriter
from data.sources.archives.archive import printable
from data.sources.errors import SourceError
from data.sources.formats import PACKED, language_of
from data.sources.unpacked import Fault, SourceText

TITLE_LIMIT = 120
CREDITS_LIMIT = 4
LINE_END = re.compile(r"\r*\n|\r")
TITLE_LINE = re.compile(r"^\s*Title:\s*(\S.*)$", re.MULTILINE)
CREDIT = re.compile(
    r"^\W*((html|e-?text|this) .*\b)?(produced|prepared|transcribed|transcriber'?s?|scanned|note:|project gutenberg|\w+ edition\W*$)",
    re.IGNORECASE,
)
UNLIKELY_START = ('"', "'", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{LEFT SINGLE QUOTATION MARK}", "[", "_", "by ", "By ", "BY ")
UNLIKELY_END = (",", ";", ":", "-", "--", "\N{EM DASH}")
LOWER = re.compile(r"\b(?!(?:and|the|for|with|from)\b)[a-z]{3,}")
SENTENCE = re.compile(r"[^\W\d_]{4}[.!?](\s|$)")
HEADING = re.compile(
    r"^(chapter|book|part|act|scene|canto|letter|section|volume|persons|dramatis|contents|enter|footnotes"
    r"|(the )?(prologue|epilogue|induction|argument|preface|introduction))\b",
    re.IGNORECASE,
)
WORD = re.compile(r"[a-z]{4,}")
RESEMBLES = 0.75  # difflib's ratio


def title_of(path: str, text: str) -> str:
    """Return the work's title. `path`: the name inside its source; `text`: the raw text."""
    head = LINE_END.sub("\n", text[:20_000]).lstrip("\ufeff\n ")
    stated = TITLE_LINE.search(head[:6000])
    if stated:
        return tidy_title(stated.group(1))
    paragraphs = re.split(r"\n[ \t]*\n\s*", head, maxsplit=CREDITS_LIMIT + 1)
    while len(paragraphs) > 1 and _is_credit(paragraphs[0]):
        del paragraphs[0]
    first, _, rest = paragraphs[0].partition("\n")
    line = tidy_title(re.sub(r"^#+\s*", "", first))
    alone = not rest.strip() or rest.lstrip().lower().startswith("by ") or (line.isupper() and line.endswith(":"))
    line = line.rstrip(":;,") if line.isupper() else line
    return line if alone and _looks_like_title(line) else name_title(path)


def _is_credit(paragraph: str) -> bool:
    """Return whether a paragraph says who typed or scanned the text, as many texts do before their title."""
    return len(paragraph) < 400 and CREDIT.match(paragraph) is not None


def _looks_like_title(line: str) -> bool:
    short = 2 < len(line) <= 80 and len(line.split()) <= 12 and any(c.isalpha() for c in line)
    quotation = line.endswith((".", "!", "?")) and LOWER.search(line) is not None
    sentence = quotation or SENTENCE.search(line[:-1]) is not None
    return short and not sentence and not line.startswith(UNLIKELY_START) and not line.endswith(UNLIKELY_END) and not HEADING.match(line)


def name_title(path: str) -> str:
    """Return a readable title from a path: no extensions, spaces for underscores; for a record, the file's and the record's name."""
    file, hash_sign, record = path.rpartition("#")
    name = PurePosixPath(file if hash_sign else path)
    name = name.with_suffix("") if name.suffix.lower() in PACKED else name
    return tidy_title(f"{name.stem} {record}".replace("_", " ") if hash_sign else name.stem.replace("_", " ")) or path[-TITLE_LIMIT:]


def name_disagrees(path: str, text: str) -> bool:
    """Return whether a text shows that its file's name is wrong.

    Only words of four letters or more count, and only names of at least two, since shorter names are often catalogue numbers. A text with a
    title of its own contradicts the name if the title resembles none of its words (comedie resembles comedy) and the text lacks at least
    half of them: a Macbeth filed as Shakespeare_Hamlet. A text without a title contradicts a name of which it contains no word."""
    words = WORD.findall(PurePosixPath(path).stem.lower().replace("_", " "))
    if len(words) < 2:
        return False
    lowered, title = text.lower(), title_of(path, text)
    absent = sum(word not in lowered for word in words)
    stated = WORD.findall(title.lower()) if title != name_title(path) else []
    if any(get_close_matches(word, stated, 1, RESEMBLES) for word in words):
        return False
    return 2 * absent >= len(words) if stated else absent == len(words)


def tidy_title(title: str) -> str:
    """Return a title on one line, cut to the limit."""
    return " ".join(title.replace("\0", " ").split())[:TITLE_LIMIT].strip()


BINS = 64
SHOWN = 8  # places in an error
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
        row = {name: printable(getattr(item, name)) for name in DESCRIPTION}
        self._locations.write(row | {"id": identity, "bin": number, "start": start, "size": len(text)})
        self._added += 1

    def quarantine(self, fault: Fault) -> None:
        """Record a file or a record that gives no text."""
        row = {"source": fault.source, "path": printable(fault.path), "reason": printable(fault.reason)[:2000]}
        self._quarantined.write(row | {"id": document_id(fault.source, fault.path)})
        self._added += 1

    @property
    def excluded(self) -> frozenset[str]:
        """The documents that are left out; those that are known by their text alone once `write` has read it."""
        return frozenset(self._excluded)

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
