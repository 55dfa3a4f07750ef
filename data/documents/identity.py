"""What a document and a text are called: ids and digests, by which tables, shards and keys know them."""

from __future__ import annotations

import hashlib

ID_BITS = 64


def document_id(source: str, path: str) -> str:
    """Return 16 hex digits that identify the path inside the source."""
    return hashlib.sha256(f"{source}\0{path}".encode("utf-8", "surrogatepass")).hexdigest()[: ID_BITS // 4]


def text_digest(text: str) -> str:
    """Return the sha256 of a text in UTF-8, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
