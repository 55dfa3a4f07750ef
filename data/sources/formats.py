"""What a file's name says it holds: a format, packed or in an archive or not. Cheap to import; reads nothing.

Guarantees: told by the name alone, so that it is known before a byte is read which shard a file concerns. A file of records (JSONL, CSV,
Parquet, WARC), an archive and a file whose name says nothing may hold documents of every shard; any other is one document.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

Format = Literal["txt", "md", "html", "epub", "pdf", "jsonl", "csv", "parquet", "warc"]
FORMATS: tuple[Format, ...] = get_args(Format)
RECORDS = frozenset({"jsonl", "csv", "parquet", "warc"})
"""Formats of which a file holds many documents."""
FIELDED = frozenset({"jsonl", "csv", "parquet"})
"""Formats whose records have named fields."""

ENDINGS: dict[str, Format] = {
    ".txt": "txt", ".text": "txt", ".md": "md", ".markdown": "md", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".epub": "epub", ".pdf": "pdf", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".warc": "warc", ".wet": "warc",
}  # fmt: skip
PACKED = frozenset({".gz", ".zst", ".bz2", ".xz"})
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst"})


class Named(NamedTuple):
    """What a name says. `format`: empty when it says none."""

    format: str
    archive: bool

    @property
    def many(self) -> bool:
        """Whether there may be several documents in it."""
        return self.archive or self.format in RECORDS or not self.format


def named(name: str) -> Named:
    """What a file's name says; endings count in any case, and one of compression stands after that of the format."""
    path = PurePosixPath(name.lower())
    if path.suffix in PACKED:
        path = path.with_suffix("")
    return Named(ENDINGS.get(path.suffix, ""), path.suffix in ARCHIVES)


def fits(name: str, formats: tuple[str, ...]) -> bool:
    """Whether a file in a folder or an archive is read when these formats are asked for; an archive may hold any."""
    told = named(name)
    return told.archive or told.format in formats
