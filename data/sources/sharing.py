"""Decide which files are opened once for all shards, and which each shard opens itself.

An archive or a file of records may hold documents of every shard. With one shard, that shard reads it. With several, it is unpacked once,
by the group that a hash of its name puts it in, so a file that is added or edited is opened again with those of its group alone. A zip of
files that are one document each is the exception: its directory leads each shard to its own members, and nothing is copied. Of a file at a
URL and of a package the name decides, since a plan is made before they are fetched: a zip among them is opened by both, of which the shards
read the documents and the group the files of records.

Group files into works, and works into shards.

Both follow from a file's name, before a byte of it is read. All parts of a joined work are in one shard. A record in a file of records is
a work of its own, named path#record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

from data.documents.sharding import CorpusShard, document_id, in_shard, shard_of
from data.sources.archives.archive import list_members
from data.sources.config import FilesSource, PackageSource, RemoteSource, TextSource
from data.sources.decode import HEAD, detect_type
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import matches_formats, type_from_name
from data.sources.hash_cache import FileState, file_state

# Returns whether a file is read, by its name in the source and its path; None where it is not on this machine.
FileChoice = Callable[[str, Path | None], bool]


@dataclass(frozen=True)
class WorkGrouping:
    """The works of `source` in `shard`. `join`: pattern of what the names of one work's parts differ in; None: every file is a work.

    `excluded`: documents that are never read; the shard's own are noted in `excluded_here` as they are met.
    """

    source: str
    join: str | None
    shard: CorpusShard | None
    excluded: frozenset[str] = frozenset()
    excluded_here: set[str] = field(default_factory=set)

    def work_of(self, name: str) -> str:
        """Return the name of the work that a file belongs to."""
        if self.join is None:
            return name
        path = PurePosixPath(name)
        return path.with_name(re.sub(self.join, "", path.stem) + path.suffix).as_posix()

    def includes_file(self, name: str) -> bool:
        """Return whether the shard reads a file that is a document or a part of one."""
        return self.includes_work(self.work_of(name))

    def includes_place(self, work: str) -> bool:
        """Return whether the shard holds the work of this name, excluded or not."""
        return in_shard(self.shard, document_id(self.source, work))

    def includes_work(self, work: str) -> bool:
        """Return whether the shard reads the work of this name."""
        document = document_id(self.source, work)
        if not in_shard(self.shard, document):
            return False
        if document in self.excluded:
            self.excluded_here.add(document)
            return False
        return True


GROUPS = 8  # how many groups the files to be unpacked are divided into
OpenedBy = Literal["shards", "group", "both"]


def shard_choice(source: TextSource, works: WorkGrouping) -> FileChoice:
    """Choose the files that a shard reads: its documents, and what may hold some of them and is not unpacked for it."""
    alone = works.shard is None or works.shard.count == 1

    def chosen(name: str, path: Path | None) -> bool:
        if _is_document(source, name):
            return works.includes_file(name)
        return alone or opened_by(source, name, path) != "group"

    return chosen


def group_choice(source: TextSource, group: CorpusShard) -> FileChoice:
    """Choose the files that a group unpacks."""
    return lambda name, path: opened_by(source, name, path) != "shards" and group_of(source, name, group.count) == group.number


def opened_by(source: TextSource, name: str, path: Path | None) -> OpenedBy:
    """Return who opens a file where there are several shards: they, a group once for them all, or both, each for members of its own."""
    if _is_document(source, name):
        return "shards"
    if path is not None and isinstance(source, FilesSource):
        return "shards" if _is_zip_of_documents(path, source.formats) else "group"
    if isinstance(source, PackageSource):
        if source.archive == "sdist":
            return "group"
        return "both" if any(type_from_name(glob).may_hold_many for glob in source.include) else "shards"
    return "both" if PurePosixPath(name.lower()).suffix == ".zip" else "group"


def group_of(source: TextSource, name: str, count: int) -> int:
    """Return the number of the group that unpacks a file."""
    return shard_of(document_id(source.label, name), count)


def pinned_name(source: PackageSource | RemoteSource) -> str:
    """Return the name by which a pinned source's only file is chosen."""
    return source.file if isinstance(source, RemoteSource) else source.package


def _is_document(source: TextSource, name: str) -> bool:
    """Return whether a file's name says that it is one document. A package is an archive, whatever it is called."""
    return not isinstance(source, PackageSource) and not type_from_name(name).may_hold_many


def _is_zip_of_documents(path: Path, formats: tuple[str, ...]) -> bool:
    """Return whether a file is a zip in which no member that is asked for may hold several documents, or one that can't be listed."""
    try:
        return _zip_of_documents(path, formats, file_state(path))
    except (HostileArchive, Unreadable, OSError):
        return True


@cache
def _zip_of_documents(path: Path, formats: tuple[str, ...], state: FileState) -> bool:
    """Return whether a zip holds single documents alone; cached by its state, since every shard and group asks."""
    with path.open("rb") as raw:
        if detect_type(raw.read(HEAD)) != "zip":
            return False
    members = list_members(path, lambda name: matches_formats(name, formats), whole=False)
    return not any(type_from_name(member.name).may_hold_many for member in members)
