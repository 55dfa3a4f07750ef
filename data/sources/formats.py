"""Formats, and what a file's name says of its own.

Only the name counts, so the shards that a file concerns are known before a byte is read. A file of records (JSONL, CSV, Parquet, WARC), an
archive, and a file of unknown ending may hold documents of every shard; any other file is one document.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal, NamedTuple

Format = Literal["txt", "md", "html", "epub", "pdf", "jsonl", "csv", "parquet", "warc"]
FORMATS: tuple[Format, ...] = ("txt", "md", "html", "epub", "pdf", "jsonl", "csv", "parquet", "warc")
RECORDS = frozenset({"jsonl", "csv", "parquet", "warc"})
"""Formats with many documents in one file."""
FIELDED = frozenset({"jsonl", "csv", "parquet"})
"""Formats whose records have named fields."""

ENDINGS: dict[str, Format] = {
    ".txt": "txt", ".text": "txt", ".md": "md", ".markdown": "md", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".epub": "epub", ".pdf": "pdf", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".warc": "warc", ".wet": "warc",
}  # fmt: skip
PACKED = frozenset({".gz", ".zst", ".bz2", ".xz"})
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst"})


class NamedType(NamedTuple):
    """A file's type by its name. `format`: "" where the name gives none."""

    format: str
    archive: bool

    @property
    def may_hold_many(self) -> bool:
        """Whether the file may hold more than one document."""
        return self.archive or self.format in RECORDS or not self.format


def type_from_name(name: str) -> NamedType:
    """Return a file's type by its ending, in upper or lower case; an ending of compression after it is ignored."""
    path = PurePosixPath(name.lower())
    if path.suffix in PACKED:
        path = path.with_suffix("")
    return NamedType(ENDINGS.get(path.suffix, ""), path.suffix in ARCHIVES)


def matches_formats(name: str, formats: tuple[str, ...]) -> bool:
    """Return whether a file in a folder or archive is read for these formats; an archive may hold any."""
    by_name = type_from_name(name)
    return by_name.archive or by_name.format in formats
