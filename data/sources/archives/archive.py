"""Reads members of a zip or tar archive as untrusted input.

No file is written under a member's name. The whole archive is listed before any of it is read, and refused with HostileArchive for a member
with an absolute path or one that leads out of the archive, a link, a device, two members of one name, a selection above TOTAL_LIMIT, or a
size that honest data can't be compressed from. Damage raises Unreadable; a single broken member of a zip costs itself alone. Sizes are
enforced while reading, not taken from headers.

A compressed tar is decompressed once per process to list it and once per shard to read it; a zip has a directory. Memory: the list of
members.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from typing import IO, Literal, NamedTuple

from data.sources.archives.compression import RATIO_APPLIES_FROM, RATIO_LIMIT, decompress, refuse_bomb, stream_from
from data.sources.decode import COMPRESSIONS, HEAD, detect_type
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import ZIPPED, type_from_name
from data.sources.hash_cache import FileState, file_state

MEMBER_LIMIT = 256 << 20  # of a part of a document that is a zip
TOTAL_LIMIT = 4 << 30
MEMBERS_LIMIT = 200_000
ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, zlib.error)
TAR_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, LookupError, OverflowError)

MemberFilter = Callable[[str], bool]


class Member(NamedTuple):
    """A file in an archive: its name, its position in the directory, its sizes in bytes."""

    name: str
    position: int
    size: int
    packed: int


def matches_globs(path: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Return whether the globs select `path`; `exclude` wins. A star also matches slashes."""
    return any(fnmatchcase(path, glob) for glob in include) and not any(fnmatchcase(path, glob) for glob in exclude)


def is_archive(name: str, path: Path) -> bool:
    """Return whether a file is a zip or a tar, compressed or not. A zip whose name stands for one document is that document."""
    with path.open("rb") as raw:
        kind = detect_type(raw.read(HEAD))
        raw.seek(0)
        inner = detect_type(decompress(raw, kind, path.stat().st_size).read(HEAD)) if kind in COMPRESSIONS else kind
    return inner == "tar" or (kind == "zip" and type_from_name(name).format not in ZIPPED)


@contextmanager
def unpacked(stream: IO[bytes], scratch: Path) -> Iterator[Path]:
    """Copy a member of an archive into a temporary file, since an archive is read from its end."""
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="archive-") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
        copy.flush()
        yield Path(copy.name)


def holds_members(name: str, path: Path) -> bool:
    """Return whether a file of this name is an archive that can be opened."""
    try:
        return type_from_name(name).may_hold_many and is_archive(name, path)
    except (HostileArchive, Unreadable, OSError):
        return False


def list_members(archive: Path, chosen: MemberFilter, *, whole: bool = True, packed: int | None = None) -> list[Member]:
    """Return the chosen files of an archive without reading them. Raise HostileArchive or Unreadable as the module describes.

    `whole`: they are to be read, so the limit on their size applies; `packed`: the size of the file that the archive lies in, if any, from
    which honest data can't be compressed further either."""
    size = archive.stat().st_size
    members = [member for member in _members(archive, file_state(archive), min(size, packed or size)) if chosen(member.name)]
    if whole and sum(member.size for member in members) > TOTAL_LIMIT:
        raise HostileArchive(
            f"hostile archive: it would unpack to more than {TOTAL_LIMIT} bytes; choose fewer members, or unpack it yourself"
        )
    return members


def read_members(archive: Path, members: list[Member]) -> Iterator[tuple[Member, IO[bytes] | Unreadable]]:
    """Yield each member with its stream, or with the error if it can't be read, in archive order.

    Read a stream before asking for the next. Raise Unreadable where a tar is truncated."""
    wanted = {member.position: member for member in members}
    if _kind(archive) == "zip":
        with zipfile.ZipFile(archive) as opened:
            for index, info in enumerate(opened.infolist()):
                if index in wanted:
                    yield wanted[index], _zip_member(opened, info)
        return
    with archive.open("rb") as raw, _open_tar(archive, raw) as tar:
        try:
            for index, entry in enumerate(tar):
                if index in wanted:
                    stream = tar.extractfile(entry)
                    yield wanted[index], stream or Unreadable(f"damaged archive: {entry.name} can't be read")
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every entry it has seen
        except (HostileArchive, Unreadable):
            raise
        except TAR_ERRORS as error:
            raise Unreadable(f"damaged archive: {error}") from error


def zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    """Yield the files of a zip. Raise HostileArchive for what no honest archive holds."""
    infos = opened.infolist()
    if len(infos) > MEMBERS_LIMIT:
        raise HostileArchive(f"hostile archive: it has more than {MEMBERS_LIMIT} members")
    for index, info in enumerate(infos):
        _check_path(info.filename)
        if S_ISLNK(info.external_attr >> 16):
            raise HostileArchive(f"hostile archive: {info.filename} is a link; links are not followed")
        if info.file_size > RATIO_APPLIES_FROM and info.file_size > RATIO_LIMIT * max(info.compress_size, 1):
            raise HostileArchive(f"hostile archive: {info.filename} unpacks to more than {RATIO_LIMIT} times its size")
        if not info.is_dir():
            yield Member(printable(info.filename), index, info.file_size, info.compress_size)


@contextmanager
def open_zipped(content: bytes, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open a document that is a zip. Raise Unreadable if it is damaged or encrypted, HostileArchive if it is a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            refuse_bomb(kind, sum(member.size for member in zip_members(opened)), len(content))
            yield opened
    except (HostileArchive, Unreadable):
        raise
    except ZIP_ERRORS as error:
        raise Unreadable(f"damaged {kind}: {error}") from error


def read_zip_member(opened: zipfile.ZipFile, name: str, kind: str) -> bytes:
    """Return a member of a document that is a zip. Raise Unreadable if it is missing or too large."""
    if name not in opened.namelist():
        raise Unreadable(f"damaged {kind}: {name} is missing")
    with opened.open(name) as stream:
        content = stream.read(MEMBER_LIMIT + 1)
    if len(content) > MEMBER_LIMIT:
        raise Unreadable(f"too large: {name}")
    return content


def printable(name: str) -> str:
    """Return a name with escapes for what is not UTF-8, since Parquet can't hold it."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _members(archive: Path, state: FileState, packed: int) -> tuple[Member, ...]:
    """Return all files of an archive; cached, since every shard asks."""
    found: list[Member] = []
    names: set[str] = set()
    for member in _list_zip(archive, packed) if _kind(archive) == "zip" else _list_tar(archive, packed):
        if member.name in names:
            raise HostileArchive(f"hostile archive: it has two members called {member.name}")
        names.add(member.name)
        found.append(member)
    return tuple(found)


def _list_zip(archive: Path, packed: int) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(archive) as opened:
            yield from zip_members(opened)
            total = sum(info.file_size for info in opened.infolist())
    except HostileArchive:
        raise
    except ZIP_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error
    refuse_bomb("archive", total, packed)


def _list_tar(archive: Path, packed: int) -> Iterator[Member]:
    size, index = 0, -1
    try:
        with archive.open("rb") as raw, _open_tar(archive, raw, tail := _Tail()) as tar:
            for index, entry in enumerate(tar):
                if index >= MEMBERS_LIMIT:
                    raise HostileArchive(f"hostile archive: it has more than {MEMBERS_LIMIT} members")
                _check_path(entry.name)
                if entry.issym() or entry.islnk() or entry.isdev():
                    raise HostileArchive(f"hostile archive: {printable(entry.name)} is a link or a device; neither is followed")
                size += max(entry.size, 0)
                refuse_bomb("archive", size, packed)
                if entry.isfile():
                    yield Member(printable(entry.name), index, entry.size, entry.size)
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every entry it has seen
            # tarfile takes half a header for the end.
            half = tar.fileobj.tell() - tar.offset if tar.fileobj else 0
            if 0 < half < tarfile.BLOCKSIZE and tail.last[-half:].strip(b"\0"):
                raise Unreadable(f"cut off: the archive ends inside the header of a member, after {index + 1}")
    except (HostileArchive, Unreadable):
        raise
    except TAR_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error


def _kind(archive: Path) -> str:
    with archive.open("rb") as stream:
        return detect_type(stream.read(HEAD))


class _Tail:
    """Remembers the last block read from a stream."""

    def __init__(self) -> None:
        self.last = b""

    def over(self, stream: IO[bytes]) -> IO[bytes]:
        """Return a stream of the same bytes."""

        def read(wanted: int) -> bytes:
            data = stream.read(wanted)
            self.last = (self.last + data)[-tarfile.BLOCKSIZE :]
            return data

        return stream_from(read)


def _open_tar(archive: Path, raw: IO[bytes], tail: _Tail | None = None) -> tarfile.TarFile:
    kind = _kind(archive)
    stream = decompress(raw, kind, archive.stat().st_size) if kind in COMPRESSIONS else raw
    # An uncompressed tar is seekable, so members are skipped unread, unless its end is checked.
    mode: Literal["r|", "r:"] = "r|" if kind in COMPRESSIONS or tail else "r:"
    return tarfile.open(fileobj=tail.over(stream) if tail else stream, mode=mode)


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes] | Unreadable:
    """Return a zip member's stream, or Unreadable if it can't be opened. Reading it raises Unreadable where it is damaged."""
    try:
        inner = opened.open(info)
    except ZIP_ERRORS as error:
        return Unreadable(f"{'encrypted' if info.flag_bits & 1 else 'damaged member'}: {error}")

    def read(wanted: int) -> bytes:
        try:
            return inner.read(wanted)
        except ZIP_ERRORS as error:
            raise Unreadable(f"damaged member: {error}") from error

    return stream_from(read)


def _check_path(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise HostileArchive(f"hostile archive: member path {name!r} leads out of the archive; it is not read")
