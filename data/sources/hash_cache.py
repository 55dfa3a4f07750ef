"""sha256 of files, remembered until a file changes: one pass over a file per process, however many shards ask."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from data.shards.durable import file_digest

FileState = tuple[int, ...]


def file_state(path: Path) -> FileState:
    """Return inode, size and times; every write changes at least one."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def cached_sha256(path: Path) -> str:
    """Return the sha256 of a file's content, computed once for each state of the file."""
    return _sha256(path, file_state(path))


@cache
def _sha256(path: Path, state: FileState) -> str:
    return file_digest(path)
