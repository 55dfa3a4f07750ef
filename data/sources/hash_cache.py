"""Files that are known by their sha256, which is computed once for each state a file is in.

Guarantees: a file that was touched is hashed again. Costs one pass over a file a process, however many shards ask.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

State = tuple[int, ...]


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, 64 hex digits; reads in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def state_of(path: Path) -> State:
    """What no write to a file leaves as it was."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def known_sha256(path: Path) -> str:
    """sha256 of a file's content, remembered as long as the file isn't touched."""
    return _sha256(path, state_of(path))


@cache
def _sha256(path: Path, state: State) -> str:
    return file_sha256(path)
