"""What readers share: their interface, named fields of records, and lines of text from a stream of any length.

Lines of text from a stream of any length and encoding.
Memory holds one line, or the beginning of one that is too long. The encoding is detected from the first 64 KB; a byte that doesn't fit a
detected encoding is read as Windows-1252, one that doesn't fit the recipe's encoding marks its line as broken.

The interface of all readers.

A reader takes a stream, options and a filter on record names, and yields what it found: one unnamed record for a file that is one document,
one per record for a file of records. A fault in one record gives a BrokenRecord and costs that record; a fault of the file raises
Unreadable. Unwanted records are skipped unparsed where their number is their name.

Records with named fields: choose the text, the name and the title.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, NamedTuple

from data.sources.archives.compression import stream_from
from data.sources.decode import SAMPLE, decode, is_blank
from data.sources.errors import Unreadable


@dataclass(frozen=True)
class ReaderOptions:
    """How to read. `limit`: the largest document, in bytes; `declared`: the charset that a server sent with the bytes.

    `whole`: a record's text is all of its fields, as a JSON object, and `text_field` counts for nothing.
    `pages`: what is read of an HTML page, as a source's key of that name says.
    """

    encoding: str = "detect"
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    limit: int = 256 << 20
    declared: str = ""
    whole: bool = False
    pages: str = "auto"


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


def build_record(
    fields: Mapping[str, object], number: int, options: ReaderOptions, wanted: RecordFilter, encoding: str = ""
) -> Record | BrokenRecord | None:
    """Return a row's record, or what is wrong with it; None if it isn't wanted. `number` names it unless `id_field` does."""
    name = name_by_number(number, options)
    if options.id_field is not None:
        value = field_value(fields, options.id_field)
        if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value).strip():
            return BrokenRecord(_broken(options.id_field, value), name) if wanted(name) else None
        name = str(value)
    if not wanted(name):
        return None
    if options.whole:
        try:
            text: object = json.dumps(fields, ensure_ascii=False, default=_plain_number)
        except (TypeError, ValueError) as error:
            return BrokenRecord(f"broken record: {error}", name)
    else:
        text = field_value(fields, options.text_field)
    title = field_value(fields, options.title_field) if options.title_field is not None else None
    if not isinstance(text, str):
        return BrokenRecord(_broken(options.text_field, text), name)
    if is_blank(text):
        return BrokenRecord("empty", name)
    if len(text) > options.limit:
        return BrokenRecord(f"too large: {len(text)} characters, the limit is {options.limit}", name)
    return Record(text, name, title if isinstance(title, str) else "", encoding)


def field_value(fields: Mapping[str, object], name: str) -> object:
    """Return a field's value, None if there is none. A field called `doc.text` wins over the field `text` of an object `doc`."""
    if name in fields:
        return fields[name]
    outer, period, inner = name.partition(".")
    value = fields.get(outer)
    return field_value(value, inner) if period and isinstance(value, Mapping) else None


def name_by_number(number: int, options: ReaderOptions) -> str:
    """Return the name of a record that its own field doesn't name."""
    return str(number) if options.id_field is None else f"record {number}"


def require_columns(columns: list[str], options: ReaderOptions) -> None:
    """Raise Unreadable, naming the missing and the present columns, unless a table has those that the recipe names."""
    text_field = None if options.whole else options.text_field
    needed = [name for name in (text_field, options.id_field, options.title_field) if name is not None]
    if missing := [name for name in needed if name not in columns and name.partition(".")[0] not in columns]:
        raise Unreadable(f"no such column: {', '.join(missing)}; it has {', '.join(columns)[:500]}")


def _plain_number(value: object) -> float:
    """Return a decimal fraction as JSON writes it. Raise TypeError for what JSON has no form of."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _broken(field: str, value: object) -> str:
    kinds = {"NoneType": "is missing", "dict": "is an object", "list": "is a list", "bool": "is a truth value", "str": "is empty"}
    return f"broken record: field {field!r} {kinds.get(type(value).__name__, 'is not text')}"


BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def tidy_lines(lines: Iterable[str]) -> str:
    """Join lines without the spaces around each, and with one blank line wherever there were several: what removed markup leaves."""
    return BLANK_LINES.sub("\n\n", "\n".join(line.strip() for line in lines)).strip()


UNDECODED = re.compile("[\udc80-\udcff\ufffd]")


class TextLine(NamedTuple):
    """A line with its line end, its number from 1, and why it can't be used, else ""."""

    text: str
    number: int
    fault: str = ""


def read_lines(stream: IO[bytes], options: ReaderOptions) -> tuple[Iterator[TextLine], str]:
    """Return the lines and the name of their encoding. Raise NotText for binary content."""
    head = stream.read(SAMPLE)
    complete = len(head) < SAMPLE
    # The sample may end inside a character.
    sample = head if complete else head[: (head.rfind(b"\n") + 1 or len(head)) // 4 * 4]
    encoding = decode(sample, options.encoding)[1].removesuffix("+cp1252")
    rest = io.BytesIO(head)
    rejoined = stream_from(lambda wanted: rest.read(wanted) or stream.read(wanted))
    lenient = options.encoding == "detect"
    wide = encoding.startswith("utf-16") or encoding.startswith("utf-32")
    errors = "replace" if wide else "folio-strays" if lenient else "surrogateescape"
    # A byte order mark is not part of the text.
    codec = "utf-8-sig" if encoding.replace("_", "-").lower() in ("utf-8", "utf8") else encoding
    text = io.TextIOWrapper(rejoined, codec, errors=errors, newline="\n")
    return _lines(text, options.limit, encoding, wide or not lenient), encoding


def _lines(stream: io.TextIOWrapper, limit: int, encoding: str, strict: bool) -> Iterator[TextLine]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        fault = ""
        if len(line) > limit and not line.endswith("\n"):
            size, end = len(line), ""
            while not end.endswith("\n") and (end := stream.readline(1 << 20)):
                size += len(end)
            fault = f"too large: a line of {size} characters, the limit is {limit}"
        elif strict and (undecoded := UNDECODED.search(line)):
            fault = f"not {encoding}: at character {undecoded.start() + 1} of the line"
        yield TextLine(line, number, fault)
