"""Reads members of a zip or tar archive as untrusted input.

No file is written under a member's name. The whole archive is listed before any of it is read, and refused with HostileArchive for a member
with an absolute path or one that leads out of the archive, a link, a device, two members of one name, a selection above TOTAL_LIMIT, or a
size that honest data can't be compressed from. Damage raises Unreadable; a single broken member of a zip costs itself alone. Sizes are
enforced while reading, not taken from headers.

Archives one behind the other are read as one tar. What lies in an archive's bytes and in none of its members, such as one behind a damaged
header, is not read; `archive_faults` tells how much that is, and where.

A compressed tar is decompressed once per process to list it and once per shard to read it; a zip has a directory. Memory: the list of
members.
"""

from __future__ import annotations

import io
import shutil
import struct
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
from typing import IO, NamedTuple

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

BLOCK = 1 << 20
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip's member: its last fields are the lengths of its name and of what follows that
END_RECORD, LONGEST_END = 22, 22 + 0xFFFF
DESCRIPTOR = 24  # bytes, at most, behind a member whose size was unknown when it was written

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
    members = [member for member in _members(archive, file_state(archive), min(size, packed or size))[0] if chosen(member.name)]
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
    with archive.open("rb") as raw:
        try:
            for index, (tar, entry) in enumerate(_tar_entries(archive, raw, [])):
                if index in wanted:
                    stream = tar.extractfile(entry)
                    yield wanted[index], stream or Unreadable(f"damaged archive: {entry.name} can't be read")
        except (HostileArchive, Unreadable):
            raise
        except TAR_ERRORS as error:
            raise Unreadable(f"damaged archive: {error}") from error


def archive_faults(archive: Path, *, packed: int | None = None) -> tuple[str, ...]:
    """Return what of an archive is in none of its members, a sentence each. Raise HostileArchive or Unreadable as `list_members` does."""
    size = archive.stat().st_size
    return _members(archive, file_state(archive), min(size, packed or size))[1]


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
def _members(archive: Path, state: FileState, packed: int) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Return all files of an archive, and what is in none of them; cached, since every shard asks."""
    found: list[Member] = []
    faults: list[str] = []
    names: set[str] = set()
    list_kind = _list_zip if _kind(archive) == "zip" else _list_tar
    for member in list_kind(archive, packed, faults):
        if member.name in names:
            raise HostileArchive(f"hostile archive: it has two members called {member.name}")
        names.add(member.name)
        found.append(member)
    return tuple(found), tuple(faults)


def _list_zip(archive: Path, packed: int, faults: list[str]) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(archive) as opened:
            yield from zip_members(opened)
            total = sum(info.file_size for info in opened.infolist())
            faults += zip_faults(opened)
    except HostileArchive:
        raise
    except ZIP_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error
    refuse_bomb("archive", total, packed)


def zip_faults(opened: zipfile.ZipFile) -> Iterator[str]:
    """Yield what of a zip's bytes belongs to no member that its directory names: another zip in front, or members left out."""
    stream, position = opened.fp, 0
    assert stream is not None
    for info in sorted(opened.infolist(), key=lambda one: one.header_offset):
        yield from _gap(stream, position, info.header_offset)
        stream.seek(info.header_offset)
        header = stream.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            return
        name, extra = LOCAL_HEADER.unpack(header)[-2:]
        position = info.header_offset + LOCAL_HEADER.size + name + extra + info.compress_size + (DESCRIPTOR if info.flag_bits & 8 else 0)
    yield from _gap(stream, position, opened.start_dir)
    end = stream.seek(0, 2)
    stream.seek(max(0, end - LONGEST_END))
    tail = stream.read(LONGEST_END)
    behind = len(tail) - tail.rfind(b"PK\x05\x06") - END_RECORD - len(opened.comment)
    if behind > 0 and tail[-behind:].strip(b"\0"):
        yield f"behind the end: {behind} bytes follow the zip; they were not read"
    if opened.comment.strip():
        yield f"not read: {len(opened.comment)} bytes of the archive's own comment"


def _gap(stream: IO[bytes], begin: int, end: int) -> Iterator[str]:
    """Yield what is wrong with the bytes from `begin` to `end`, which belong to no member; zeros are padding."""
    if end - begin > 0:
        stream.seek(begin)
        if stream.read(min(end - begin, 1 << 20)).strip(b"\0"):
            yield f"not listed: {end - begin} bytes at byte {begin} are in no member that the directory names; they were not read"


def _list_tar(archive: Path, packed: int, faults: list[str]) -> Iterator[Member]:
    size = 0
    try:
        with archive.open("rb") as raw:
            for index, (_, entry) in enumerate(_tar_entries(archive, raw, faults)):
                if index >= MEMBERS_LIMIT:
                    raise HostileArchive(f"hostile archive: it has more than {MEMBERS_LIMIT} members")
                _check_path(entry.name)
                if entry.issym() or entry.islnk() or entry.isdev():
                    raise HostileArchive(f"hostile archive: {printable(entry.name)} is a link or a device; neither is followed")
                size += max(entry.size, 0)
                refuse_bomb("archive", size, packed)
                # A type that nobody knows is a file's, says POSIX.
                if entry.isfile() or entry.type not in tarfile.SUPPORTED_TYPES:
                    yield Member(printable(entry.name), index, entry.size, entry.size)
    except (HostileArchive, Unreadable):
        raise
    except TAR_ERRORS as error:
        raise Unreadable(f"damaged archive: {error}") from error


def _kind(archive: Path) -> str:
    with archive.open("rb") as stream:
        return detect_type(stream.read(HEAD))


class _Forward(io.RawIOBase):
    """A stream that tarfile may seek in, forward alone, with the last block to take back. Skips unread what can be."""

    def __init__(self, stream: IO[bytes], *, skips: bool) -> None:
        self._stream, self._skips, self._position = stream, skips, 0
        self._back, self.last = b"", b""

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes."""
        size = BLOCK if size is None or size < 0 else size
        data, self._back = self._back[:size], self._back[size:]
        if len(data) < size:
            data += self._stream.read(size - len(data))
        self._position += len(data)
        self.last = data
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go forward. An end that comes before is met by the next reading."""
        left = offset - self._position
        if left < 0 or whence:
            raise tarfile.StreamError("a tar is read forward alone")
        if self._skips and left > len(self._back):
            self._stream.seek(left - len(self._back), 1)
            self._back, self._position = b"", offset
        while self._position < offset and self.read(min(offset - self._position, BLOCK)):
            pass
        self._position = offset
        return offset

    def take_back(self, data: bytes) -> None:
        """Read `data`, the last that was read, again."""
        self._back = data + self._back
        self._position -= len(data)


def _tar_entries(archive: Path, raw: IO[bytes], faults: list[str]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the entries of a tar and of those behind it. What stands behind a damaged header is searched for the next one.

    Read an entry before asking for the next. Raise Unreadable where the archive ends inside an entry."""
    kind, count = _kind(archive), 0
    packed = kind in COMPRESSIONS
    stream = _Forward(decompress(raw, kind, archive.stat().st_size, faults.append) if packed else raw, skips=not packed)
    while True:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                while entry := tar.next():
                    yield tar, entry
                    count += 1
                    tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every entry it has seen
            block = stream.last
        except tarfile.ReadError as error:
            block = stream.last if count == 0 else stream.read(tarfile.BLOCKSIZE)
            if not block:
                raise Unreadable(f"damaged archive: {error}") from error
        while block and not block.strip(b"\0"):
            block = stream.read(tarfile.BLOCKSIZE)
        damaged, place = 0, stream.tell() - len(block)
        while block and not _is_header(block):
            if len(block) < tarfile.BLOCKSIZE and not damaged:
                raise Unreadable(f"cut off: the archive ends inside the header of a member, after {count}")
            damaged += len(block)
            block = stream.read(tarfile.BLOCKSIZE)
        if damaged:
            faults.append(f"damaged archive: {damaged} bytes at byte {place} are in no member whose header can be read")
        if not block:
            if not count:
                raise Unreadable("damaged archive: the header of no member can be read")
            return
        stream.take_back(block)


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


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
