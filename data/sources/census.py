"""The census of the sources: every entry that they point to, and its fate.

An entry is a file, a folder, a link, or a member of an archive. Its fate is one of
- read: a document, a part of one, or a file of records that gave at least one row of the ledger;
- set aside: in quarantine, with its reason there, by itself or with the archive that it is in;
- opened: a folder, or an archive whose members are entries of their own;
- not asked for: of a kind, or under a name, that the recipe leaves out;
- lost: asked for, and in no ledger. A reader that drops a file without a word raises Unbalanced here, with the file's name.

Fates are taken from what ingest wrote, not from what it should have done. Costs one look at every entry, the directories of archives, and
one pass over the ids and paths of ingest's tables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.documents.database import Database, open_database, parquet
from data.documents.ledger import Unbalanced
from data.documents.rows import RowWriter, write_query
from data.documents.sharding import document_id
from data.shards.pictures import PARTS
from data.sources.archives.archive import Member, holds_members, list_members, matches_globs, read_members, unpacked
from data.sources.archives.compression import UnpackedTotal
from data.sources.config import CaptionedSource, FilesSource, IngestConfig, ManifestSource, PackageSource, RemoteSource, SourceConfig
from data.sources.errors import HostileArchive, Unreadable
from data.sources.fetching.manifest import read_manifest
from data.sources.fetching.pinned import fetch_entries, fetch_pinned
from data.sources.files import FOLDER, NO_ENDING, survey
from data.sources.formats import ending_of, matches_formats, type_from_name
from data.sources.sharing import WorkGrouping

CENSUS = pa.schema([(name, pa.string()) for name in ("source", "path", "kind", "fate")])
ENTRIES = pa.schema([(name, pa.string()) for name in ("id", "source", "path", "kind", "state")])
Listed = tuple[str, str, str]  # path, kind and state: "asked for", "not asked for" or "opened"
FATES = ("read", "set aside", "opened", "not asked for")
SHOWN = 5
Counted = dict[str, dict[str, dict[str, dict[str, Any]]]]  # source -> fate -> kind -> `entries`, and the first few, `shown`
QUERY = Path(__file__).with_name("census.sql")


def census(
    config: IngestConfig, output: Path, ingested: Sequence[Path], root: Path, cache: Path, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Write census.parquet (source, path, kind, fate), in order of source and path, and census.json (source -> fate -> kind -> entries and
    the first few). Return the number of entries of each fate. Raise Unbalanced for an entry that ingest lost.

    `ingested`: the folders that ingest wrote; `root`, `cache`: as for ingest."""
    output.mkdir(parents=True, exist_ok=True)
    fetched = fetch_pinned(config.sources, cache)
    with open_database(scratch, threads=threads, memory=memory) as work:
        with RowWriter(work.folder / "entries.parquet", ENTRIES) as writer:
            for source in config.sources:
                files = fetched
                if isinstance(source, ManifestSource):
                    files = fetch_entries(source, read_manifest(source, root), cache)
                for path, kind, state in _entries(source, root, files, work.folder, config.archive_depth):
                    grouped = WorkGrouping(source.label, getattr(source, "join", None), None).work_of(path)
                    row = {"id": document_id(source.label, grouped), "source": source.label, "path": path}
                    writer.write(row | {"kind": kind, "state": state})
        work.connection.execute(f"CREATE VIEW entry AS FROM {parquet([work.folder / 'entries.parquet'])}")
        for table in ("documents", "quarantine", "ledger"):
            work.connection.execute(f"CREATE VIEW ingested_{table} AS FROM {parquet([folder / f'{table}.parquet' for folder in ingested])}")
        parts = [folder / PARTS for folder in ingested if (folder / PARTS).is_file()]
        told = f"FROM {parquet(parts)}" if parts else "SELECT '' AS source, '' AS path WHERE false"
        work.connection.execute(f"CREATE VIEW ingested_part AS SELECT DISTINCT source, path FROM ({told})")
        write_query(work, QUERY.read_text("utf-8"), output / "census.parquet", CENSUS)
        counted = _count(work, output / "census.parquet")
    for label, fates in counted.items():
        for lost in fates.get("lost", {}).values():
            raise Unbalanced(
                f"ingest lost {label}/{lost['shown'][0]}: it is neither a document nor in quarantine. If it appeared while the run was "
                "under way, start the run again"
            )
    (output / "census.json").write_text(json.dumps(counted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    totals = Counter({fate: 0 for fate in FATES})
    for fates in counted.values():
        totals.update({fate: sum(entry["entries"] for entry in kinds.values()) for fate, kinds in fates.items()})
    return {fate.replace(" ", "_"): float(number) for fate, number in totals.items()}


def _count(work: Database, census: Path) -> Counted:
    rows = work.connection.execute(
        f"""SELECT source, fate, kind, count(*), list(path ORDER BY path)[:{SHOWN}]
        FROM {parquet([census])} GROUP BY ALL ORDER BY source, fate, kind"""
    ).fetchall()
    counted: Counted = {}
    for source, fate, kind, entries, shown in rows:
        counted.setdefault(source, {}).setdefault(fate, {})[kind] = {"entries": entries, "shown": shown}
    return counted


class Unpacking(NamedTuple):
    """How to open archives: the target folder, the formats, the levels left, and what the outermost has unpacked to, once it is open."""

    scratch: Path
    formats: tuple[str, ...]
    levels: int
    total: UnpackedTotal | None = None

    def deeper(self, total: UnpackedTotal) -> Unpacking:
        """One level down."""
        return self._replace(levels=self.levels - 1, total=total)


def _entries(source: SourceConfig, root: Path, fetched: Mapping[str, Path], scratch: Path, depth: int) -> Iterator[Listed]:
    inside = Unpacking(scratch, getattr(source, "formats", ()), depth)
    if isinstance(source, FilesSource | CaptionedSource) and source.paths:
        found = survey(source, root)
        for name, path in found.files.items():
            if isinstance(source, CaptionedSource):
                yield name, ending_of(name), "asked for"
            else:
                yield from _file(name, path, source.formats, inside)
        yield from ((name, fault.partition(":")[0], "asked for") for name, fault in found.faults.items())
        yield from ((name, kind, "opened" if kind == FOLDER else "not asked for") for name, kind in found.others.items())
    elif isinstance(source, ManifestSource):
        for name, path in fetched.items():
            yield from _file(name, path, source.formats, inside)
    elif isinstance(source, RemoteSource):
        yield from _file(source.file, fetched[source.label], source.formats, inside)
    elif isinstance(source, PackageSource):
        yield from _members(fetched[source.label], "", lambda name: matches_globs(name, source.include, source.exclude), inside)


def _file(name: str, path: Path, formats: tuple[str, ...], inside: Unpacking) -> Iterator[Listed]:
    if not holds_members(name, path):
        yield name, type_from_name(name).format or ending_of(name) or NO_ENDING, "asked for"
        return
    try:
        members = list(_members(path, f"{name}/", lambda member: matches_formats(member, formats), inside))
    except (HostileArchive, Unreadable, OSError):
        members = []
    opened = any(state == "asked for" for _, _, state in members)
    yield name, "archive", "opened" if opened else "asked for"
    yield from members


def _members(archive: Path, prefix: str, chosen: Callable[[str], bool], inside: Unpacking) -> Iterator[Listed]:
    """List the members of an archive, and of nested archives as far as ingest opens them."""
    inner: list[Member] = []
    total = inside.total or UnpackedTotal(archive.stat().st_size)
    members = list_members(archive, lambda name: True, whole=False, packed=total.packed)
    if inside.total is not None:
        total.add(sum(member.size for member in members))
    for member in members:
        asked = chosen(member.name)
        if asked and inside.levels > 1 and type_from_name(member.name).archive:
            inner.append(member)
            continue
        kind = type_from_name(member.name).format or ending_of(member.name) or NO_ENDING
        yield f"{prefix}{member.name}", kind, "asked for" if asked else "not asked for"
    for member, stream in read_members(archive, inner):
        name = f"{prefix}{member.name}"
        try:
            if isinstance(stream, Unreadable):
                raise stream
            with unpacked(stream, inside.scratch) as copy:
                found = list(_file(name, copy, inside.formats, inside.deeper(total)))
        except (HostileArchive, Unreadable, OSError):
            found = [(name, "archive", "asked for")]
        yield from found
