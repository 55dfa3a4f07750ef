"""Which reader reads which format, and which run in the sandbox because foreign code parses untrusted bytes."""

from __future__ import annotations

from data.sources.readers.delimited import read_delimited
from data.sources.readers.epub import read_epub
from data.sources.readers.html_page import read_html
from data.sources.readers.jsonl import read_jsonl
from data.sources.readers.markdown import read_markdown
from data.sources.readers.parquet import read_parquet
from data.sources.readers.pdf import read_pdf
from data.sources.readers.plain_text import read_text
from data.sources.readers.record import Reader
from data.sources.readers.warc import read_warc

READERS: dict[str, Reader] = {
    "txt": read_text,
    "md": read_markdown,
    "html": read_html,
    "epub": read_epub,
    "pdf": read_pdf,
    "jsonl": read_jsonl,
    "csv": read_delimited,
    "parquet": read_parquet,
    "warc": read_warc,
}
SANDBOXED = frozenset({"md", "html", "epub", "pdf", "parquet"})
