"""The interface of all readers.

A reader takes a stream, options and a filter on record names, and yields what it found: one unnamed record for a file that is one document,
one per record for a file of records. A fault in one record gives a BrokenRecord and costs that record; a fault of the file raises
Unreadable. Unwanted records are skipped unparsed where their number is their name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from data.sources.errors import Unreadable


@dataclass(frozen=True)
class ReaderOptions:
    """How to read. `limit`: the largest document, in bytes; `declared`: the charset that a server sent with the bytes.

    `whole`: a record's text is all of its fields, as a JSON object, and `text_field` counts for nothing.
    """

    encoding: str = "detect"
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    limit: int = 256 << 20
    declared: str = ""
    whole: bool = False


class Record(NamedTuple):
    """A document. `name`: the record's name in its file; `encoding`: "" where the format has only one."""

    text: str
    name: str = ""
    title: str = ""
    encoding: str = ""
    url: str = ""


class BrokenRecord(NamedTuple):
    """A record that gives no document, and why."""

    reason: str
    name: str = ""


class EmbeddedFile(NamedTuple):
    """A record that is itself a file of some format."""

    format: str
    content: bytes
    name: str
    declared: str = ""
    url: str = ""


ReaderOutput = Record | BrokenRecord | EmbeddedFile
RecordFilter = Callable[[str], bool]
Reader = Callable[[IO[bytes], ReaderOptions, RecordFilter], Iterator[ReaderOutput]]


def read_whole(stream: IO[bytes], options: ReaderOptions) -> bytes:
    """Return all bytes of a stream. Raise Unreadable if they are more than the limit."""
    content = stream.read(options.limit + 1)
    if len(content) <= options.limit:
        return content
    size = len(content)
    while block := stream.read(1 << 20):
        size += len(block)
    raise Unreadable(f"too large: {size} bytes, the limit is {options.limit}")
