"""From a file to its texts: compression off, archives opened, each content given to the reader of its format.

Guarantees: every file and every record that concerns the shard comes out once, as a text or as the reason why it is none; what is wrong
with a file costs that file, an archive among local files that is hostile or damaged is put aside as a whole. What the bytes say goes
before what the name says; but a file whose name promises one document is never read as many, since its records would belong to shards
that don't look at it. One archive inside another is put aside by its name.
Memory: one document. What must be read from its end (Parquet) and is packed waits in a file under the scratch folder.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from data.sources.archive import Chosen, look_through, printable, read_members
from data.sources.compression import unpacked
from data.sources.content import ARCHIVE_KINDS, COMPRESSIONS, HEAD, format_of, told_by
from data.sources.document_store import Piece, Shelf
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import RECORDS, fits, named
from data.sources.readers.record import Broken, Inner, Options, Record, whole
from data.sources.readers.registry import APART, READERS
from data.sources.sandbox.parser_sandbox import Apart
from data.sources.streams import buffered
from data.sources.work_grouping import Works


@dataclass(frozen=True)
class Opener:
    """Reads a source's files onto a shelf. `strict`: what is hostile is an error, as in what the recipe pins, and no quarantined file."""

    works: Works
    shelf: Shelf
    apart: Apart
    options: Options
    formats: tuple[str, ...]
    scratch: Path
    strict: bool = False

    def put_aside(self, name: str, reason: str) -> None:
        """Account for a file that can't be read; of all shards, the one whose document it would be does so."""
        if self.works.hold(name):
            self.shelf.put_aside(self.works.source, name, reason)

    def read_content(self, name: str, content: bytes) -> None:
        """Read a file that is one document."""
        self._guarded(name, lambda: self._read(name, io.BytesIO(content), len(content), None))

    def read_path(self, name: str, path: Path) -> None:
        """Read a file that may hold many documents."""
        self._guarded(name, lambda: self._read_path(name, path))

    def read_archive(self, archive: Path, chosen: Chosen, prefix: str = "") -> None:
        """Read the chosen members of an archive. Raises HostileArchive and Unreadable where it is that as a whole."""
        members = [m for m in look_through(archive, chosen) if named(m.name).many or self.works.hold(f"{prefix}{m.name}")]
        for member, stream in read_members(archive, members):
            self._guarded(f"{prefix}{member.name}", lambda m=member, s=stream: self._read_member(f"{prefix}{m.name}", s, m.packed))  # type: ignore[misc]

    def _guarded(self, name: str, read: Callable[[], None]) -> None:
        try:
            read()
        except HostileArchive as error:
            if self.strict:
                raise
            self.put_aside(name, str(error))
        except Unreadable as error:
            self.put_aside(name, str(error))

    def _read_path(self, name: str, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as raw:
            kind = told_by(raw.read(HEAD))
            raw.seek(0)
            inside = told_by(unpacked(raw, kind, size).read(HEAD)) if kind in COMPRESSIONS else kind
            raw.seek(0)
            if inside == "tar" or (kind == "zip" and named(name).format != "epub"):
                self._read_whole_archive(name, path)
            elif kind not in COMPRESSIONS:
                self._read(name, raw, size, path)
            else:
                self._look_through_packed(path, kind, size)
                self._read(name, raw, size, None)

    def _read_whole_archive(self, name: str, path: Path) -> None:
        if not look_through(path, self._chosen):
            raise Unreadable(f"not asked for: no member of this archive ends like one of {', '.join(self.formats)}")
        self.read_archive(path, self._chosen, f"{name}/")

    def _chosen(self, member: str) -> bool:
        return fits(member, self.formats)

    def _look_through_packed(self, path: Path, kind: str, size: int) -> None:
        """Unpack once to nowhere, so that nothing is read of what turns out to be a bomb. What is damaged is found when it is read."""
        with path.open("rb") as raw:
            stream = unpacked(raw, kind, size)
            try:
                while stream.read(1 << 20):
                    pass
            except HostileArchive:
                raise
            except Unreadable:
                return

    def _read_member(self, name: str, stream: IO[bytes] | Unreadable, packed: int) -> None:
        if isinstance(stream, Unreadable):
            raise stream
        self._read(name, stream, packed, None)

    def _read(self, name: str, raw: IO[bytes], size: int, path: Path | None) -> None:
        """Read what is no archive. `path`: where it lies as it is."""
        stream = buffered(raw)
        told = told_by(stream.peek(HEAD)[:HEAD])
        if told in COMPRESSIONS:
            stream = unpacked(stream, told, size)
            told = told_by(stream.peek(HEAD)[:HEAD])
            if told in COMPRESSIONS:
                raise Unreadable(f"packed twice: {told} inside another compression; unpack it once")
        name_says = named(name)
        if told in ARCHIVE_KINDS and not (told == "zip" and name_says.format == "epub"):
            raise Unreadable(
                f"an archive where none is opened: {told} in an archive, in a compression, or under the name of a single document"
            )
        kind = format_of(told, name_says, self.formats)
        if kind not in RECORDS:
            if self.works.hold(name):
                self._one(name, kind, whole(stream, self.options))
        elif not name_says.many:
            raise Unreadable(f"lying name: {kind} by its bytes, {name_says.format} by its name; a file of records must be called one")
        elif kind in APART:
            self._many_apart(name, kind, path, stream)
        else:
            self._many(name, kind, stream)

    def _one(self, name: str, kind: str, content: bytes, work: str = "", declared: str = "", address: str = "", kept_as: str = "") -> None:
        """Read one document. `work`: what it is called when it is a record, whose format is then `kept_as`."""
        options = replace(self.options, declared=declared)
        if kind in APART and content.strip():
            found = list(self.apart.read(kind, content, options, None))
        else:
            found = list(READERS[kind](io.BytesIO(content), options, lambda _: True))  # type: ignore[arg-type]
        for record in found:
            if isinstance(record, Record):
                self._keep(name, kept_as or kind, record._replace(address=address), work)

    def _many(self, name: str, kind: str, stream: IO[bytes]) -> None:
        for found in READERS[kind](stream, self.options, lambda record: self.works.hold_work(_record(name, record))):
            work = _record(name, found.name)
            if isinstance(found, Record):
                self._keep(name, kind, found, work)
            elif isinstance(found, Broken):
                self.shelf.put_aside(self.works.source, work, found.reason)
            elif isinstance(found, Inner):
                try:
                    self._one(name, found.format, found.content, work, found.declared, found.address, kind)
                except Unreadable as error:
                    self.shelf.put_aside(self.works.source, work, str(error))

    def _many_apart(self, name: str, kind: str, path: Path | None, stream: IO[bytes]) -> None:
        shard = self.works.shard
        concerned = None if shard is None else (self.works.source, name, shard.number, shard.count)
        with tempfile.NamedTemporaryFile(dir=self.scratch, prefix="unpacked-") as copy:
            if path is None:
                shutil.copyfileobj(stream, copy, 1 << 20)
                copy.flush()
            for found in self.apart.read(kind, path or Path(copy.name), self.options, concerned):
                work = _record(name, found.name)
                if not self.works.hold_work(work):
                    continue
                if isinstance(found, Record):
                    self._keep(name, kind, found, work)
                else:
                    self.shelf.put_aside(self.works.source, work, found.reason)

    def _keep(self, name: str, kind: str, found: Record, work: str) -> None:
        source, joined = self.works.source, self.works.join is not None and not work
        self.shelf.take(
            Piece(
                source,
                work or self.works.of(name),
                work or name,
                "record" if work else "part" if joined else "file",
                found.text,
                kind,
                found.encoding,
                found.title,
                found.address,
            )
        )


def _record(name: str, record: str) -> str:
    return printable(f"{name}#{record}")
