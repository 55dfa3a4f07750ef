"""From a file to its texts: decompress it, open archives, and give each content to the reader of its format.

Every file and every record of the shard comes out once, as a text or as a quarantine reason. A damaged file costs that file alone; a
hostile or damaged archive among local files is quarantined as a whole. The bytes decide what a file is, and its name where they can't. But
a file whose name stands for one document is never read as records: those would belong to shards that never open the file. An archive
inside another is opened down to `depth` levels, and what all of them unpack to is compared with the size of the outermost; deeper ones
are quarantined by name.

Memory: one document. A compressed Parquet file and an inner archive are first unpacked into the scratch folder, since they are read from
their end.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, NamedTuple

from data.conversations.records import read_record
from data.conversations.records import title_of as conversation_title
from data.conversations.shapes import Shape, ShapeError
from data.sources.archives.archive import (
    Member,
    MemberFilter,
    archive_faults,
    holds_members,
    is_archive,
    list_members,
    printable,
    read_members,
    unpacked,
)
from data.sources.archives.compression import UnpackedTotal, buffered, decompress
from data.sources.decode import ARCHIVE_KINDS, COMPRESSIONS, HEAD, choose_format, detect_type, is_blank
from data.sources.document_store import CONVERSATION
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import FIELDED, NUMBERED, RECORDS, ZIPPED, matches_formats, type_from_name
from data.sources.readers.record import BrokenRecord, EmbeddedFile, LeftOut, ReaderOptions, Record, read_whole
from data.sources.readers.registry import READERS, SANDBOXED
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.sharing import WorkGrouping
from data.sources.unpacked import Contents, Fault, SourceText, Unread

# What is read of an archive: all; the members that are one document each; or those that may hold several, as their names say.
Part = Literal["all", "documents", "records"]


class Nesting(NamedTuple):
    """The depth of an archive in others, from 1, and what the outermost has unpacked to."""

    level: int
    total: UnpackedTotal


@dataclass(frozen=True)
class Extractor:
    """Reads a source's files, and hands on what they hold.

    `strict`: raise HostileArchive instead of quarantining, for files the recipe pins; `depth`: how many levels of archives are opened;
    `shape`: how the source's records hold conversations; "": they hold texts; `licence`: terms of a file that differ from its source's;
    `later`: takes each document unread; None: documents are read at once."""

    works: WorkGrouping
    contents: Contents
    sandbox: ParserSandbox
    options: ReaderOptions
    formats: tuple[str, ...]
    scratch: Path
    strict: bool = False
    depth: int = 1
    shape: Shape | Literal[""] = ""
    licence: str = ""
    later: Callable[[Unread], None] | None = None

    def quarantine(self, name: str, reason: str) -> None:
        """Record an unreadable file, in the one shard that its document would belong to."""
        if self.works.includes_file(name):
            self._set_aside(self.works.work_of(name), name, reason)

    def read_content(self, name: str, content: bytes) -> None:
        """Read a file that is one document."""
        self._quarantine_on_error(name, lambda: self._read_stream(name, io.BytesIO(content), len(content), None))

    def read_path(self, name: str, path: Path, part: Part = "all") -> None:
        """Read a file that may hold many documents; of an archive a part. Whoever reads the documents reads any other file."""
        if part != "records":
            self._quarantine_on_error(name, lambda: self._read_path(name, path, part))
        elif holds_members(name, path):
            # Whoever reads the documents says what is wrong with the archive.
            with suppress(HostileArchive, Unreadable):
                self._read_local_archive(name, path, part=part)

    def read_unread(self, item: Unread) -> None:
        """Read a document that was handed over unread."""
        try:
            replace(self, licence=item.licence, later=None)._read_document(item)
        except Unreadable as error:
            self._set_aside(item.work, item.record or item.name, str(error))

    def read_archive(
        self, archive: Path, chosen: MemberFilter, prefix: str = "", part: Part = "all", inside: Nesting | None = None
    ) -> None:
        """Read the chosen members of an archive. Raise HostileArchive or Unreadable where the archive itself is."""
        inside = inside or Nesting(1, UnpackedTotal(archive.stat().st_size))
        found = list_members(archive, chosen, packed=inside.total.packed)
        members = [m for m in found if self._reads_member(m.name, f"{prefix}{m.name}", part)]
        if part != "records":
            self._remark_all(prefix.rstrip("/") or archive.name, archive_faults(archive, packed=inside.total.packed))
        for member, stream in read_members(archive, members):
            name = f"{prefix}{member.name}"
            self._quarantine_on_error(name, lambda n=name, m=member, s=stream: self._read_member(n, s, m, inside))  # type: ignore[misc]

    def _reads_member(self, name: str, path: str, part: Part) -> bool:
        if type_from_name(name).may_hold_many:
            return part != "documents"
        return part != "records" and self.works.includes_file(path)

    def _quarantine_on_error(self, name: str, read: Callable[[], None]) -> None:
        try:
            read()
        except HostileArchive as error:
            if self.strict:
                raise
            self.quarantine(name, str(error))
        except Unreadable as error:
            self.quarantine(name, str(error))

    def _read_path(self, name: str, path: Path, part: Part) -> None:
        if is_archive(name, path):
            self._read_local_archive(name, path, part=part)
            return
        size = path.stat().st_size
        with path.open("rb") as raw:
            kind = detect_type(raw.read(HEAD))
            raw.seek(0)
            if kind not in COMPRESSIONS:
                self._read_stream(name, raw, size, path)
            else:
                self._refuse_compressed_bomb(path, kind, size)
                self._read_stream(name, raw, size, None)

    def _read_local_archive(self, name: str, path: Path, part: Part = "all", inside: Nesting | None = None) -> None:
        if not list_members(path, self._matches_formats, packed=inside.total.packed if inside else None):
            raise Unreadable(f"not asked for: no member of this archive ends like one of {', '.join(self.formats)}")
        self.read_archive(path, self._matches_formats, f"{name}/", part, inside)

    def _matches_formats(self, member: str) -> bool:
        return matches_formats(member, self.formats)

    def _refuse_compressed_bomb(self, path: Path, kind: str, size: int) -> None:
        """Decompress once and discard the output, to catch a bomb before reading its records. Damage is reported on reading."""
        with path.open("rb") as raw:
            stream = decompress(raw, kind, size)
            try:
                while stream.read(1 << 20):
                    pass
            except HostileArchive:
                raise
            except Unreadable:
                return

    def _read_member(self, name: str, stream: IO[bytes] | Unreadable, member: Member, inside: Nesting) -> None:
        if isinstance(stream, Unreadable):
            raise stream
        level, total = inside
        if level < self.depth and type_from_name(name).archive:
            with unpacked(stream, self.scratch) as inner:
                if is_archive(name, inner):
                    # Of what an archive holds, asked for or not: reading a compressed one unpacks all of it.
                    total.add(sum(one.size for one in list_members(inner, lambda _: True, whole=False, packed=total.packed)))
                    self._read_local_archive(name, inner, inside=Nesting(level + 1, total))
                else:
                    with inner.open("rb") as raw:
                        self._read_stream(name, raw, member.packed, inner, total)
            return
        self._read_stream(name, stream, member.packed, None, total)

    def _read_stream(self, name: str, raw: IO[bytes], size: int, path: Path | None, total: UnpackedTotal | None = None) -> None:
        """Read a file that is not an archive. `path`: the file on disk, if it is there uncompressed; `total`: of its archive."""
        stream = buffered(raw)
        detected = detect_type(stream.peek(HEAD)[:HEAD])
        if detected in COMPRESSIONS:
            stream = decompress(stream, detected, size, lambda reason: self._remark(name, reason), total)
            detected = detect_type(stream.peek(HEAD)[:HEAD])
            if detected in COMPRESSIONS:
                raise Unreadable(f"compressed twice: {detected} inside another compression; decompress it once")
        by_name = type_from_name(name)
        if detected in ARCHIVE_KINDS and not (detected == "zip" and by_name.format in ZIPPED):
            raise Unreadable(
                f"nested archive: {detected} deeper than `archive_depth`, in a compression, or under another name; unpack it first"
            )
        kind = choose_format(detected, by_name, self.formats)
        if kind not in RECORDS:
            if self.works.includes_file(name):
                self._read_document(self._unread(name, kind, read_whole(stream, self.options)))
        elif not by_name.may_hold_many:
            raise Unreadable(
                f"wrong extension: {kind} by its bytes, {by_name.format} by its name; give a file of records its own extension"
            )
        elif kind in SANDBOXED:
            self._read_records_in_sandbox(name, kind, path, stream)
        else:
            self._read_records(name, kind, stream)

    def _remark_all(self, name: str, faults: Sequence[str]) -> None:
        """Quarantine pieces of a file, one row for each kind of reason."""
        left = LeftOut()
        for fault in faults:
            left.fault(fault)
        for row in left.rows():
            self._remark(name, row.reason)

    def _remark(self, name: str, reason: str) -> None:
        """Quarantine a piece of a file whose text is kept, under a name of its own."""
        piece = f"{name}#{reason.partition(':')[0]}"
        if not type_from_name(name).may_hold_many:
            self._set_aside(self.works.work_of(name), piece, reason)
        elif self.works.includes_work(piece):
            self._set_aside(piece, piece, reason)

    def _set_aside(self, work: str, path: str, reason: str) -> None:
        self.contents.quarantine(Fault(self.works.source, work, path, reason))

    def _unread(self, name: str, kind: str, content: bytes) -> Unread:
        return Unread(self.works.source, self.works.work_of(name), name, "", kind, content, licence=self.licence)

    def _read_document(self, item: Unread) -> None:
        """Read one document, or hand it over unread."""
        if self.later is not None:
            self.later(item)
            return
        # What a crawler stored is a page of the web, most of which is not its text.
        pages = "main" if self.options.pages == "auto" and item.container == "warc" else self.options.pages
        kind, content, options = item.format, item.content, replace(self.options, declared=item.declared, pages=pages)
        if kind in SANDBOXED and content.strip():
            results = list(self.sandbox.read(kind, content, options, None))
        else:
            results = list(READERS[kind](io.BytesIO(content), options, lambda _: True))
        for record in results:
            if isinstance(record, Record):
                if is_blank(record.text):
                    raise Unreadable("empty: nothing but marks and space")
                self._add(item.name, item.container or kind, record._replace(url=item.url), item.record)
            elif isinstance(record, BrokenRecord):
                self._set_aside(item.work, _record_path(item.record or item.name, record.name), record.reason)

    def _includes(self, kind: str, work: str) -> bool:
        """Return whether the shard reads a record. One that its number names is read even if excluded by id: the store refuses it."""
        numbered = kind in NUMBERED or (kind in FIELDED and self.options.id_field is None)
        return self.works.includes_place(work) if numbered else self.works.includes_work(work)

    def _read_records(self, name: str, kind: str, stream: IO[bytes]) -> None:
        for result in READERS[kind](stream, self.options, lambda record: self._includes(kind, _record_path(name, record))):
            work = _record_path(name, result.name)
            if isinstance(result, Record):
                self._add(name, kind, result, work)
            elif isinstance(result, BrokenRecord):
                self._set_aside(work, work, result.reason)
            elif isinstance(result, EmbeddedFile):
                item = Unread(self.works.source, work, name, work, result.format, result.content, licence=self.licence, container=kind)
                try:
                    self._read_document(item._replace(declared=result.declared, url=result.url))
                except Unreadable as error:
                    self._set_aside(work, work, str(error))

    def _read_records_in_sandbox(self, name: str, kind: str, path: Path | None, stream: IO[bytes]) -> None:
        shard = self.works.shard
        wanted = None if shard is None else (self.works.source, name, shard.number, shard.count)
        with tempfile.NamedTemporaryFile(dir=self.scratch, prefix="unpacked-") as copy:
            if path is None:
                shutil.copyfileobj(stream, copy, 1 << 20)
                copy.flush()
            for result in self.sandbox.read(kind, path or Path(copy.name), self.options, wanted):
                work = _record_path(name, result.name)
                # The sandbox knows the shard, not which documents are excluded.
                if not self._includes(kind, work):
                    continue
                if isinstance(result, Record):
                    self._add(name, kind, result, work)
                elif isinstance(result, BrokenRecord):
                    self._set_aside(work, work, result.reason)

    def _add(self, name: str, kind: str, record: Record, work: str) -> None:
        joined = self.works.join is not None and not work
        text, title = record.text, record.title
        if self.shape:
            try:
                found = read_record(json.loads(text), self.shape)
            except ShapeError as error:
                self._set_aside(work or self.works.work_of(name), work or name, str(error))
                return
            text, title = json.dumps(found, ensure_ascii=False), conversation_title(found)
        self.contents.add(
            SourceText(
                source=self.works.source,
                work=work or self.works.work_of(name),
                part=work or name,
                kind="record" if work else "part" if joined else "file",
                text=text,
                format=kind,
                encoding=record.encoding,
                title=title,
                url=record.url,
                form=CONVERSATION if self.shape else "",
                licence=self.licence,
            )
        )


def _record_path(name: str, record: str) -> str:
    return printable(f"{name}#{record}")
