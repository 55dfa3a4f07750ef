"""Small files that exactly one writer can create, on any fsspec filesystem.

On a disk the whole content appears at once, by a link, which fails if the name is taken. S3 (`If-None-Match: *`), Google's and Azure's
stores refuse a conditional write. A store that ignores the condition is read back: with two writers at the same moment, the last one wins
there, and the first may have read its own content before.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks.stage.system.atomic_files import write_atomically


def create_file(fs: fsspec.AbstractFileSystem, path: str, content: bytes) -> bool:
    """Create a file; return False if another one is there. Raises OSError if it can't be written."""
    if isinstance(fs, LocalFileSystem):
        return _link(Path(path), content)
    try:
        fs.pipe_file(path, content, mode="create")
    except OSError:
        # A request that was sent twice, because its first answer was lost, finds its own file.
        found = read_file(fs, path)
        if found is None:
            raise
        return found == content
    return read_file(fs, path) == content


def replace_file(fs: fsspec.AbstractFileSystem, path: str, expected: bytes, content: bytes) -> bool:
    """Replace a file whose content is as expected; return False if it is not.

    S3 is asked to write only if the file is still the one that was read (`If-Match`); elsewhere a writer in between is not noticed.
    """
    condition: dict[str, Any] = {}
    if not isinstance(fs, LocalFileSystem) and "s3" in fs.protocol:
        fs.invalidate_cache()
        try:
            condition = {"IfMatch": fs.info(path)["ETag"]}
        except FileNotFoundError:
            return False
    if read_file(fs, path) != expected:
        return False
    try:
        put_file(fs, path, content, **condition)
    except OSError:
        found = read_file(fs, path)
        if found is None or found == expected:
            raise
        return found == content
    return True


def put_file(fs: fsspec.AbstractFileSystem, path: str, content: bytes, **condition: Any) -> None:
    """Write a small file, whatever is there; readers see all of it or nothing."""
    if isinstance(fs, LocalFileSystem):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), content)
    else:
        fs.pipe_file(path, content, **condition)


def read_file(fs: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    """Return the content of a file; None when there is none."""
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError:
        return None


def _link(path: Path, content: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex[:6]}")
    try:
        write_atomically(partial, content)
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True
