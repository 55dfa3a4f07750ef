"""Which reader reads which format, and which run in the sandbox because foreign code parses untrusted bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.decode import decode
from data.sources.readers.delimited import read_delimited, read_json, read_jsonl
from data.sources.readers.html_page import read_epub, read_html
from data.sources.readers.latex import read_latex
from data.sources.readers.markdown import read_markdown, read_notebook
from data.sources.readers.mbox import read_mbox
from data.sources.readers.mediawiki import read_mediawiki
from data.sources.readers.parquet import read_parquet
from data.sources.readers.pdf import read_pdf
from data.sources.readers.record import Reader, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole
from data.sources.readers.subtitles import read_subtitles
from data.sources.readers.tei import read_fb2, read_tei
from data.sources.readers.warc import read_warc
from data.sources.readers.word_processors import read_docx, read_odt, read_rtf


def read_text(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    text, encoding = decode(read_whole(stream, options), options.encoding)
    yield Record(text, encoding=encoding)


READERS: dict[str, Reader] = {
    "txt": read_text,
    "md": read_markdown,
    "html": read_html,
    "epub": read_epub,
    "pdf": read_pdf,
    "docx": read_docx,
    "odt": read_odt,
    "rtf": read_rtf,
    "tex": read_latex,
    "ipynb": read_notebook,
    "subtitles": read_subtitles,
    "fb2": read_fb2,
    "tei": read_tei,
    "code": read_text,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_delimited,
    "parquet": read_parquet,
    "warc": read_warc,
    "mbox": read_mbox,
    "mediawiki": read_mediawiki,
}
# Formats that Python's own library and ours read alone, or whose records come out as files of other formats.
UNSANDBOXED = frozenset({"txt", "code", "jsonl", "csv", "warc"})
SANDBOXED = frozenset(READERS) - UNSANDBOXED
