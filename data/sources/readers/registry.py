"""Which reader reads which format, and which of them run in a process of their own because foreign code parses hostile bytes there."""

from __future__ import annotations

from data.sources.readers.epub import read_epub
from data.sources.readers.jsonl import read_jsonl
from data.sources.readers.markdown import read_markdown
from data.sources.readers.page import read_page
from data.sources.readers.plain import read_text
from data.sources.readers.portable import read_pdf
from data.sources.readers.record import Reader
from data.sources.readers.separated import read_separated
from data.sources.readers.tables import read_parquet
from data.sources.readers.webarchive import read_warc

READERS: dict[str, Reader] = {
    "txt": read_text,
    "md": read_markdown,
    "html": read_page,
    "epub": read_epub,
    "pdf": read_pdf,
    "jsonl": read_jsonl,
    "csv": read_separated,
    "parquet": read_parquet,
    "warc": read_warc,
}
APART = frozenset({"md", "html", "epub", "pdf", "parquet"})
