"""Files that outlive a crash: locks, atomic writes, flushes to disk and digests, for `data` and `model` alike.

It lies here because these are the only modules that both rooms may import. `tasks/stage` serves any pipeline and imports neither room, so
it has its own in `tasks/stage/system`, with what a shared store needs besides: shared locks, leases, and writes that must not overwrite.
Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_stream(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file to write to; flush it to disk and rename it at the end, so a reader never sees a partial file. One writer."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write all at once to an `atomic_stream`."""
    with atomic_stream(path) as stream:
        stream.write(content)


def append_durably(path: Path, content: bytes) -> None:
    """Append to a file and flush it to disk."""
    with path.open("ab") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def commit_folder(partial: Path, folder: Path) -> None:
    """Rename a folder of files that are all written. After a power cut it is there with all its bytes, or not at all."""
    # The bytes before the name, and the name last: a rename alone may reach the disk before what it names.
    for path in (*sorted(partial.iterdir()), partial):
        flush_to_disk(path)
    partial.rename(folder)
    flush_to_disk(folder.parent)


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, against threads and processes, during the block; a killed process releases it."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
