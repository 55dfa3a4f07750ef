"""The readers by format, and which run in the sandbox because foreign code parses untrusted bytes; plain text.

Subtitles (SubRip, WebVTT, SubStation Alpha and others that pysubs2 knows): what is said, a line for each, without times and styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.delimited import read_delimited, read_json, read_jsonl
from data.sources.readers.html_page import read_epub, read_html
from data.sources.readers.latex import read_latex
from data.sources.readers.markdown import read_markdown, read_notebook
from data.sources.readers.mbox import read_mbox
from data.sources.readers.media import read_picture, read_sound
from data.sources.readers.mediawiki import read_mediawiki
from data.sources.readers.parquet import read_parquet
from data.sources.readers.pdf import read_pdf
from data.sources.readers.record import LeftOut, Reader, ReaderOptions, ReaderOutput, Record, RecordFilter, read_decoded
from data.sources.readers.rtf import read_rtf
from data.sources.readers.tei import read_fb2, read_tei
from data.sources.readers.warc import read_warc
from data.sources.readers.word_processors import read_docx, read_odt


def read_text(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    left = LeftOut()
    text, encoding = read_decoded(stream, options, left)
    yield Record(text, encoding=encoding)
    yield from left.rows()


NO_WORDS = re.compile(r"[^-]*-->.*|\d+|WEBVTT|")  # times, numbers and the first line
# Markup that holds no words: styles, times, and positions in braces.
STYLES = re.compile(
    r"</?(?:[biusc]|font|ruby|rt|lang|v)?(?:\.[\w.-]*)?(?:\s+\w+=\S+)*\s*/?>|<[\d:.]+>|\{\\[^}]*\}|\{[\w:$,]{0,20}\}", re.IGNORECASE
)
MARKUP = re.compile(r"<[^>]*>|\{[^}]*\}|\s+")


def read_subtitles(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, and what stands in no cue."""
    import pysubs2

    left = LeftOut()
    source, encoding = read_decoded(stream, options, left)
    try:
        events = list(pysubs2.SSAFile.from_string(source))
    except (pysubs2.exceptions.Pysubs2Error, ValueError) as error:
        raise Unreadable(f"damaged subtitles: {error}") from error
    for event in events:
        left.add("comments", event.text if event.is_comment else "")
        left.add("drawings", event.text if event.is_drawing and not event.is_comment else "")
    said = [event for event in events if not event.is_comment and not event.is_drawing]
    lines = [line.strip() for event in said for line in event.plaintext.split("\n")]
    text = "\n".join(line for line in lines if line)
    if not text:
        raise Unreadable("no text: nobody says anything")
    yield Record(text, encoding=encoding)
    for number, words in _outside_cues(source, events):
        left.add("lines outside of cues", words, f"in line {number}")
    for found in MARKUP.finditer(source):
        if found[0].strip() and "-->" not in found[0] and not STYLES.fullmatch(found[0]):
            left.add("words in markup", found[0][1:-1])
    yield from left.rows()


def _outside_cues(source: str, events: list[Any]) -> Iterator[tuple[int, str]]:
    """Yield the lines, numbered from 1, that are in no event. In SubStation Alpha only those of the section of events hold words."""
    cues = {MARKUP.sub("", line) for event in events for line in (*event.plaintext.split("\n"), event.text)}
    section = ""
    for number, line in enumerate(map(str.strip, source.splitlines()), start=1):
        if line.startswith("[") and line.endswith("]"):
            section = line
            continue
        words = line if not section else line.split(",", 9)[-1] if section == "[Events]" and not line.startswith(("Format:", ";")) else ""
        bare = (MARKUP.sub("", part) for part in words.split("|"))
        if not NO_WORDS.fullmatch(words) and any(part and part not in cues for part in bare):
            yield number, words


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
    "picture": read_picture,
    "sound": read_sound,
}
# Formats that Python's own library and ours read alone, or whose records come out as files of other formats.
UNSANDBOXED = frozenset({"txt", "code", "jsonl", "csv", "warc"})
SANDBOXED = frozenset(READERS) - UNSANDBOXED
