"""RTF (Microsoft's Rich Text Format 1.9) to text by striprtf, with a blank line between paragraphs and notes in brackets where they stand.

Pictures, fields and style tables are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from data.sources.errors import Unreadable
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

# \bin is followed by raw bytes, which striprtf would take for text.
BINARY = re.compile(rb"\\bin(\d{1,9}) ?")
NOTE = re.compile(rb"\{\s*(?:\\\*\s*)?\\footnote(?![a-z]) ?")
BRACE = re.compile(rb"\\.|[{}]", re.DOTALL)
LINE = re.compile(rb"\\line(?![a-z]) ?")
PARAGRAPH = re.compile(rb"\\par(?![a-z]) ?")
NOTE_BEGINS, NOTE_ENDS = re.compile(r"\s*\x02\s*"), re.compile(r"\s*\x03")
BREAK = "\x0b"
"""Placeholder for a line end inside a paragraph, which striprtf would turn into a paragraph's."""
CELL = re.compile(r"\n?\|(?=\n)|\n\|")
LINE_ENDS = re.compile(r"\r\n?")
BLANK_LINES = re.compile(r"\n\s*\n")


def read_rtf(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record. Raise Unreadable where the file is cut off."""
    from striprtf.striprtf import rtf_to_text

    content = read_whole(stream, options)
    if not content.rstrip(b"\0 \r\n").endswith(b"}"):
        raise Unreadable("cut off: its last group is not closed")
    source = LINE.sub(rb"\'0b", _with_notes(_without_binary(content)))
    plain: str = rtf_to_text(source.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    text = LINE_ENDS.sub("\n", plain)
    # striprtf ends each cell of a table with a bar, and its paragraph with a line end.
    text = CELL.sub(lambda found: "" if found[0].endswith("|") and not found[0].startswith("\n|") else " | ", text)
    text = NOTE_ENDS.sub("]", NOTE_BEGINS.sub(" [", text))
    lines = (line.strip() for line in text.replace("\n", "\n\n").replace(BREAK, "\n").split("\n"))
    text = BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    if not text.strip():
        raise Unreadable("no text: the document has none")
    yield Record(text)


def _with_notes(content: bytes) -> bytes:
    """Turn each note into plain text in brackets; striprtf would drop it."""
    kept, position = bytearray(), 0
    while found := NOTE.search(content, position):
        end = _group_end(content, found.end())
        kept += content[position : found.start()] + rb"{\'02 " + PARAGRAPH.sub(b" ", content[found.end() : end]) + rb"\'03"
        position = end
    return bytes(kept + content[position:])


def _group_end(content: bytes, start: int) -> int:
    """Return where the group that is open at `start` is closed."""
    depth = 1
    for brace in BRACE.finditer(content, start):
        depth += {b"{": 1, b"}": -1}.get(brace[0], 0)
        if not depth:
            return brace.start()
    raise Unreadable("cut off: a note is not closed")


def _without_binary(content: bytes) -> bytes:
    kept, position = bytearray(), 0
    while found := BINARY.search(content, position):
        kept += content[position : found.start()]
        position = found.end() + int(found[1])
    return bytes(kept + content[position:])
