"""Cache files, each with a checksum, so a damaged one counts as missing; writes are atomic."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

DIGEST_BYTES = hashlib.sha256().digest_size


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
