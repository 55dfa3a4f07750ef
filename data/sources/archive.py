"""Reads members of a zip or tar archive as what it is: bytes from a stranger.

Guarantees: nothing is written to disk; a member with an absolute path or one that climbs out, a link or a device, a
member beyond MEMBER_LIMIT, a selection beyond TOTAL_LIMIT, or a member that unpacks to far more than its packed size
allows is refused with HostileArchive before its content is used. Sizes are enforced while reading, not believed.
Of a shard's works only those members are read. Costs memory for them in a tar, which can only be read forwards and is unpacked
whole for each shard; members of a zip are read one by one.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from typing import IO

from data.sources.errors import HostileArchive, SourceError
from data.sources.works import Works

MEMBER_LIMIT = 256 << 20
TOTAL_LIMIT = 4 << 30
RATIO_LIMIT = 200
RATIO_APPLIES_FROM = 8 << 20
MEMBERS_LIMIT = 200_000


def selected(path: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether the globs choose `path`; `exclude` wins. A star also matches slashes."""
    return any(fnmatchcase(path, glob) for glob in include) and not any(fnmatchcase(path, glob) for glob in exclude)


def read_archive(archive: Path, include: tuple[str, ...], exclude: tuple[str, ...], works: Works) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside, content) of the selected members that `works` hold, in the order of their works and paths.

    Raises HostileArchive as the module says, and SourceError where the file is neither zip nor tar, or is damaged."""
    try:
        if zipfile.is_zipfile(archive):
            yield from _zip_members(archive, include, exclude, works)
        elif tarfile.is_tarfile(archive):
            yield from _tar_members(archive, include, exclude, works)
        else:
            raise SourceError(f"{archive.name} is neither a zip nor a tar archive; delete it from the cache so that it is fetched anew")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{archive.name} is a damaged archive ({error}); delete it from the cache so that it is fetched anew") from error


def _zip_members(archive: Path, include: tuple[str, ...], exclude: tuple[str, ...], works: Works) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            _check_path(archive, member.filename)
            if S_ISLNK(member.external_attr >> 16):
                raise HostileArchive(f"{archive.name}: {member.filename} is a link; links are not followed")
        chosen = [m for m in members if not m.is_dir() and selected(m.filename, include, exclude)]
        _check_sizes(archive, len(members), {m.filename: m.file_size for m in chosen})
        for member in sorted((m for m in chosen if works.hold(m.filename)), key=lambda m: works.order(m.filename)):
            if member.file_size > RATIO_APPLIES_FROM and member.file_size > RATIO_LIMIT * max(member.compress_size, 1):
                raise HostileArchive(f"{archive.name}: {member.filename} unpacks to more than {RATIO_LIMIT} times its size")
            with opened.open(member) as stream:
                yield member.filename, _read(archive, member.filename, stream, member.file_size)


def _tar_members(archive: Path, include: tuple[str, ...], exclude: tuple[str, ...], works: Works) -> Iterator[tuple[str, bytes]]:
    held: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    packed, unpacked = max(archive.stat().st_size, 1), 0
    with tarfile.open(archive) as opened:
        for count, member in enumerate(opened, start=1):
            _check_path(archive, member.name)
            if member.issym() or member.islnk() or member.isdev():
                raise HostileArchive(f"{archive.name}: {member.name} is a link or a device; neither is followed")
            unpacked += member.size
            if unpacked > RATIO_APPLIES_FROM and unpacked > RATIO_LIMIT * packed:
                raise HostileArchive(f"{archive.name} unpacks to more than {RATIO_LIMIT} times its size")
            chosen = member.isfile() and selected(member.name, include, exclude)
            if chosen:
                sizes[member.name] = member.size
            _check_sizes(archive, count, sizes)
            stream = opened.extractfile(member) if chosen and works.hold(member.name) else None
            if stream is not None:
                held[member.name] = _read(archive, member.name, stream, member.size)
    yield from sorted(held.items(), key=lambda item: works.order(item[0]))


def _read(archive: Path, name: str, stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size + 1)
    if len(content) > size:
        raise HostileArchive(f"{archive.name}: {name} holds more than the {size} bytes it declares")
    return content


def _check_path(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise HostileArchive(f"{archive.name}: member path {name!r} leads out of the archive; the archive is not read")


def _check_sizes(archive: Path, members: int, sizes: dict[str, int]) -> None:
    if members > MEMBERS_LIMIT:
        raise HostileArchive(f"{archive.name} has more than {MEMBERS_LIMIT} members")
    over = next((name for name, size in sizes.items() if size > MEMBER_LIMIT), None)
    if over is not None:
        raise HostileArchive(f"{archive.name}: {over} would unpack to {sizes[over]} bytes; the limit is {MEMBER_LIMIT}")
    if sum(sizes.values()) > TOTAL_LIMIT:
        raise HostileArchive(f"{archive.name} would unpack to more than {TOTAL_LIMIT} bytes; narrow `include`")
