"""Decide which files are opened once for all shards, and which each shard opens itself.

An archive or a file of records may hold documents of every shard. With one shard, that shard reads it. With several, it is unpacked once,
by the group that a hash of its name puts it in, so a file that is added or edited is opened again with those of its group alone. A zip of
files that are one document each is the exception: its directory leads each shard to its own members, and nothing is copied. Of a file at a
URL and of a package the name decides, since a plan is made before they are fetched: a zip among them is opened by both, of which the shards
read the documents and the group the files of records.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

from data.documents.sharding import CorpusShard, document_id, shard_of
from data.sources.archives.archive import list_members
from data.sources.config import FilesSource, PackageSource, RemoteSource, TextSource
from data.sources.decode import HEAD, detect_type
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import matches_formats, type_from_name
from data.sources.hash_cache import FileState, file_state
from data.sources.work_grouping import FileChoice, WorkGrouping

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
