"""Which reader reads which format, and which run in the sandbox because foreign code parses untrusted bytes."""

from __future__ import annotations

from data.sources.readers.markup.epub import read_epub
from data.sources.readers.markup.fb2 import read_fb2
from data.sources.readers.markup.html_page import read_html
from data.sources.readers.markup.tei import read_tei
from data.sources.readers.office.docx import read_docx
from data.sources.readers.office.odt import read_odt
from data.sources.readers.office.pdf import read_pdf
from data.sources.readers.office.rtf import read_rtf
from data.sources.readers.parsing.record import Reader
from data.sources.readers.records.delimited import read_delimited
from data.sources.readers.records.json_values import read_json
from data.sources.readers.records.jsonl import read_jsonl
from data.sources.readers.records.mbox import read_mbox
from data.sources.readers.records.mediawiki import read_mediawiki
from data.sources.readers.records.parquet import read_parquet
from data.sources.readers.records.warc import read_warc
from data.sources.readers.text.latex import read_latex
from data.sources.readers.text.markdown import read_markdown
from data.sources.readers.text.notebook import read_notebook
from data.sources.readers.text.plain_text import read_text
from data.sources.readers.text.subtitles import read_subtitles

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
UNSANDBOXED = frozenset({"txt", "code", "jsonl", "csv", "warc"})
"""Formats that Python's own library and ours read alone, or whose records come out as files of other formats."""
SANDBOXED = frozenset(READERS) - UNSANDBOXED
