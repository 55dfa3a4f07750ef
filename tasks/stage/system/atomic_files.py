"""Atomic changes on a local disk: each is one rename, with all slow work before or after it."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path

DIGEST_BYTES = hashlib.sha256().digest_size


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, flushed to disk."""
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex[:6]}")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def fsync_tree(directory: Path) -> None:
    """Flush every file of a directory to disk, so after a power cut no record lists bytes that were never written."""
    for path in (*directory.rglob("*"), directory):
        fsync_path(path)


def fsync_path(path: Path) -> None:
    """Flush a file, or a folder's list of names, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def share_tree(directory: Path) -> None:
    """Give a directory's files the directory's read permissions: some libraries write files only their owner can read."""
    for path in directory.rglob("*"):
        mode = path.stat().st_mode
        wanted = mode | directory.stat().st_mode & (0o777 if path.is_dir() else 0o666)
        if wanted != mode:
            path.chmod(wanted)


def replace_directory(made: Path, final: Path) -> None:
    """Move a directory to `final`, deleting what is there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        going = final.with_name(f".{final.name}-{uuid.uuid4().hex[:6]}")
        final.replace(going)
        shutil.rmtree(going)
    made.replace(final)


def move_if_absent(made: Path, final: Path) -> None:
    """Move a directory to `final`; if an equal one has appeared there meanwhile, keep that one and delete this."""
    try:
        made.replace(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(made)


def remove(path: Path, first: str) -> None:
    """Delete a file or a folder; within a folder, delete the file called `first` before all others."""
    if path.is_dir() and not path.is_symlink():
        (path / first).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    partial.write_bytes(content)
    partial.replace(path)


def keep(path: Path, content: bytes) -> None:
    """Write a file with its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, hashlib.sha256(content).digest() + content)


def kept(path: Path) -> bytes | None:
    """Return the content of a file that was kept; None if there is none or it is damaged."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    content = found[DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == found[:DIGEST_BYTES] else None
