"""Reads members of a zip or tar archive as what it is: bytes from a stranger.

Guarantees: nothing is unpacked to disk under a member's name; an archive is looked through as a whole before any of it is read, and a
member with an absolute path or one that climbs out, a link or a device, two members of one name, a member beyond MEMBER_LIMIT, a selection
beyond TOTAL_LIMIT, or an archive that unpacks to far more than its packed size allows are refused with HostileArchive. What is damaged is
Unreadable; a single broken member of a zip costs itself alone. Sizes are enforced while reading, not believed.
Costs for a compressed tar one unpacking a process to look through and one a shard to read; a zip is read by its directory. Memory: the list
of members.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from typing import IO, NamedTuple

from data.sources.compression import RATIO_APPLIES_FROM, RATIO_LIMIT, refuse_bomb, unpacked
from data.sources.content import COMPRESSIONS, HEAD, told_by
from data.sources.errors import HostileArchive, Unreadable
from data.sources.hash_cache import State, state_of
from data.sources.streams import stream_of

MEMBER_LIMIT = 256 << 20
TOTAL_LIMIT = 4 << 30
MEMBERS_LIMIT = 200_000
ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, zlib.error)
TAR_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, LookupError, OverflowError)

Chosen = Callable[[str], bool]


class Member(NamedTuple):
    """A file in an archive: its name, its place in the archive's directory, its sizes in bytes."""

    name: str
    place: int
    size: int
    packed: int


def selected(path: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether the globs choose `path`; `exclude` wins. A star also matches slashes."""
    return any(fnmatchcase(path, glob) for glob in include) and not any(fnmatchcase(path, glob) for glob in exclude)


def look_through(archive: Path, chosen: Chosen) -> list[Member]:
    """The chosen files of an archive, none of which has been read. Raises HostileArchive and Unreadable as the module says."""
    members = [member for member in _members(archive, state_of(archive)) if chosen(member.name)]
    over = next((member for member in members if member.size > MEMBER_LIMIT), None)
    if over is not None:
        raise HostileArchive(f"hostile archive: {over.name} would unpack to {over.size} bytes; the limit is {MEMBER_LIMIT}")
    if sum(member.size for member in members) > TOTAL_LIMIT:
        raise HostileArchive(
            f"hostile archive: it would unpack to more than {TOTAL_LIMIT} bytes; choose fewer members, or unpack it yourself"
        )
    return members


def read_members(archive: Path, members: list[Member]) -> Iterator[tuple[Member, IO[bytes] | Unreadable]]:
    """The members of one archive, in its order, each with its content (to be read before the next is asked for) or why there is none.

    Raises Unreadable where a tar breaks off."""
    wanted = {member.place: member for member in members}
    if _kind(archive) == "zip":
        with zipfile.ZipFile(archive) as opened:
            for place, info in enumerate(opened.infolist()):
                if place in wanted:
                    yield wanted[place], _zip_member(opened, info)
        return
    with archive.open("rb") as raw, _open_tar(archive, raw) as tar:
        try:
            for place, entry in enumerate(tar):
                if place in wanted:
                    stream = tar.extractfile(entry)
                    yield wanted[place], stream or Unreadable(f"damaged archive: {entry.name} can't be read")
                tar.members = []  # type: ignore[attr-defined]  # a list of all that were seen
        except (HostileArchive, Unreadable):
            raise
        except TAR_ERRORS as error:
            raise Unreadable(f"damaged archive: {error}") from error


def zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    """The files of a zip. Raises HostileArchive for what no honest archive has."""
    infos = opened.infolist()
    if len(infos) > MEMBERS_LIMIT:
        raise HostileArchive(f"hostile archive: it has more than {MEMBERS_LIMIT} members")
    for place, info in enumerate(infos):
        _check_path(info.filename)
        if S_ISLNK(info.external_attr >> 16):
            raise HostileArchive(f"hostile archive: {info.filename} is a link; links are not followed")
        if info.file_size > RATIO_APPLIES_FROM and info.file_size > RATIO_LIMIT * max(info.compress_size, 1):
            raise HostileArchive(f"hostile archive: {info.filename} unpacks to more than {RATIO_LIMIT} times its size")
        if not info.is_dir():
            yield Member(printable(info.filename), place, info.file_size, info.compress_size)


def printable(name: str) -> str:
    """A member's name as a table can hold it: what is no UTF-8 is written out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _members(archive: Path, state: State) -> tuple[Member, ...]:
    """All files of an archive; remembered, since every shard asks."""
    found: list[Member] = []
    names: set[str] = set()
    for member in _zip_listed(archive) if _kind(archive) == "zip" else _tar_listed(archive):
        if member.name in names:
            raise HostileArchive(f"hostile archive: it has two members called {member.name}")
        names.add(member.name)
        found.append(member)
    return tuple(found)


def _zip_listed(archive: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(archive) as opened:
            yield from zip_members(opened)
            whole = sum(info.file_size for info in opened.infolist())
    except HostileArchive:
        raise
    except ZIP_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error
    refuse_bomb("archive", whole, max(archive.stat().st_size, 1))


def _tar_listed(archive: Path) -> Iterator[Member]:
    packed, size = max(archive.stat().st_size, 1), 0
    try:
        with archive.open("rb") as raw, _open_tar(archive, raw) as tar:
            for place, entry in enumerate(tar):
                if place >= MEMBERS_LIMIT:
                    raise HostileArchive(f"hostile archive: it has more than {MEMBERS_LIMIT} members")
                _check_path(entry.name)
                if entry.issym() or entry.islnk() or entry.isdev():
                    raise HostileArchive(f"hostile archive: {printable(entry.name)} is a link or a device; neither is followed")
                size += max(entry.size, 0)
                refuse_bomb("archive", size, packed)
                if entry.isfile():
                    yield Member(printable(entry.name), place, entry.size, entry.size)
                tar.members = []  # type: ignore[attr-defined]  # a list of all that were seen
    except (HostileArchive, Unreadable):
        raise
    except TAR_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error


def _kind(archive: Path) -> str:
    with archive.open("rb") as stream:
        return told_by(stream.read(HEAD))


def _open_tar(archive: Path, raw: IO[bytes]) -> tarfile.TarFile:
    kind = _kind(archive)
    if kind in COMPRESSIONS:
        return tarfile.open(fileobj=unpacked(raw, kind, archive.stat().st_size), mode="r|")
    return tarfile.open(fileobj=raw, mode="r:")


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes] | Unreadable:
    """A member of a zip; what is wrong with it is Unreadable."""
    try:
        inner = opened.open(info)
    except ZIP_ERRORS as error:
        return Unreadable(f"{'encrypted' if info.flag_bits & 1 else 'damaged member'}: {error}")

    def read(wanted: int) -> bytes:
        try:
            return inner.read(wanted)
        except ZIP_ERRORS as error:
            raise Unreadable(f"damaged member: {error}") from error

    return stream_of(read)


def _check_path(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise HostileArchive(f"hostile archive: member path {name!r} leads out of the archive; it is not read")
