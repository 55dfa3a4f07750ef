"""Shared by readers: their interface, named fields of records, and lines of text from a stream of any length.

Lines of text from a stream of any length and encoding.
Memory holds one line, or the beginning of one that is too long, and 64 KB. A line that is UTF-8 is read as that; for the others the
encoding is detected from the 64 KB that begin with the first of them, wherever it stands. A byte that doesn't fit a detected encoding is
read as Windows-1252, one that doesn't fit the recipe's encoding marks its line as broken.

The interface of all readers.

A reader takes a stream, options and a filter on record names, and yields what it found: one unnamed record for a file that is one document,
one per record for a file of records. A fault in one record gives a BrokenRecord and costs that record; a fault of the file raises
Unreadable. Unwanted records are skipped unparsed where their number is their name.

Records with named fields: choose the text, the name and the title.

What a reader finds in a document and does not deliver as text it counts in `LeftOut`, and yields as broken records of their own.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, NamedTuple
from urllib.parse import quote

from data.sources.archives.compression import stream_from
from data.sources.decode import (
    DOUBLE,
    ESCAPED,
    FEW,
    MIXED,
    SAMPLE,
    decode,
    decode_counted,
    decode_up_to_cut,
    detect_escaped,
    encoding_of_lines,
    high_bytes,
    is_blank,
    legacy_encoding,
)
from data.sources.errors import Unreadable


@dataclass(frozen=True)
class ReaderOptions:
    """The options of reading. `limit`: the largest document, in bytes; `declared`: the charset that a server sent with the bytes.

    `whole`: a record's text is all of its fields, as a JSON object, and `text_field` counts for nothing.
    `pages`: what is read of an HTML page, as a source's key of that name says. `pictures`: Markdown, HTML and EPUB have a mark where a
    picture stands (see `picture_mark`), and EPUB yields those that it holds. `most_pixels`: the largest picture, all of its frames
    together. `most_frames`: of a moving picture, how many are read. `most_seconds`: the longest sound.
    """

    encoding: str = "detect"
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    limit: int = 256 << 20
    declared: str = ""
    whole: bool = False
    pages: str = "auto"
    pictures: bool = False
    most_pixels: int = 1 << 24
    most_frames: int = 1
    most_seconds: float = 30.0


MARK = re.compile("\ue100([!-~]*)\ue101")
"""Stands for a picture in a page's text, between two characters for private use: its address, quoted as in URLs, or its number there."""
RESERVED = "%/?#:@&=+,;!$'()*"  # what an address may hold by itself, escapes among it


def picture_mark(address: str) -> str:
    """Return the mark of the picture at an address."""
    return f"\ue100{quote(address.strip(), safe=RESERVED)}\ue101"


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
    """A record that is itself a file of some format, or a picture in a book, which comes before the book's text."""

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


class LeftOut:
    """Counts what a document holds and its text doesn't: by kind of thing its size, how often it occurs, and where first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, str, str]] = {}
        self._faults: dict[str, list[str]] = {}

    def add(self, kind: str, words: object, place: str = "") -> None:
        """Count words by their characters. Blank words are nothing."""
        self.count(kind, len(" ".join(str(words or "").split())), place, unit="characters")

    def count(self, kind: str, size: int, place: str = "", *, unit: str = "bytes") -> None:
        """Count what is known by its size alone."""
        kind = UNPRINTABLE.sub("?", kind)[:LONGEST_KIND]
        kind = kind if kind in self._found or len(self._found) < MOST_KINDS else OTHER_KINDS
        before, count, unit, place = self._found.get(kind, (0, 0, unit, place))
        if size:
            self._found[kind] = before + size, count + 1, unit, place

    def fault(self, reason: str) -> None:
        """Record what is wrong with a document whose text is kept all the same. What stands before the colon names the row."""
        kind, _, detail = reason.partition(": ")
        self._faults.setdefault(kind, []).append(detail)

    def cut(self, size: int) -> None:
        """Record that a document ends inside a letter of which `size` bytes are there; none if 0."""
        if size:
            self.fault(f"cut off: it ends inside a letter, of which {size} bytes are there")

    def rows(self) -> Iterator[BrokenRecord]:
        """Yield a row for each kind of thing and of fault."""
        for kind, details in sorted(self._faults.items()):
            more = f"; and {len(details) - SHOWN} more" if len(details) > SHOWN else ""
            yield BrokenRecord(f"{kind}: {'; '.join(details[:SHOWN])}{more}", kind)
        for kind, (size, count, unit, place) in sorted(self._found.items()):
            where = f", the first {place}" if place and count > 1 else f", {place}" if place else ""
            yield BrokenRecord(f"not read: {kind}, {size:,} {unit} in {count:,} place{'s' * (count > 1)}{where}", kind)


# A document names some of its kinds of things itself, so they are as many and as long as it likes.
MOST_KINDS, LONGEST_KIND, OTHER_KINDS, SHOWN = 50, 80, "other things", 5
UNPRINTABLE = re.compile(r"[^ -~]")


def read_decoded(stream: IO[bytes], options: ReaderOptions, left: LeftOut) -> tuple[str, str]:
    """Return a document's text and its encoding. A letter that its end cuts in two is counted."""
    found = decode_counted(read_whole(stream, options), options.encoding)
    left.cut(found.cut)
    return found.text, found.encoding


UNDECODED = re.compile("[\udc80-\udcff\ufffd]")


class TextLine(NamedTuple):
    """A line with its line end, its number from 1, why it can't be used, else "", and its encoding."""

    text: str
    number: int
    fault: str = ""
    encoding: str = "utf-8"


def read_lines(stream: IO[bytes], options: ReaderOptions) -> Iterator[TextLine]:
    """Return the lines. Raise NotText for binary content."""
    head = stream.read(SAMPLE)
    complete = len(head) < SAMPLE
    # The sample may end inside a character.
    sample = head if complete else head[: (head.rfind(b"\n") + 1 or len(head)) // 4 * 4]
    encoding = decode(sample, options.encoding)[1]
    rest = io.BytesIO(head)
    rejoined = stream_from(lambda wanted: rest.read(wanted) or stream.read(wanted))
    if b"\r" in head and b"\n" not in head and not encoding.startswith(("utf-16", "utf-32")):
        # Lines of an old Macintosh.
        returns, rejoined = rejoined, stream_from(lambda wanted: returns.read(wanted).replace(b"\r", b"\n"))
    wide = encoding.startswith(("utf-16", "utf-32"))
    if options.encoding == "detect" and not wide:
        return _DetectedLines(rejoined, options.limit)
    # A byte order mark is not part of the text.
    codec = "utf-8-sig" if encoding.replace("_", "-").lower() in ("utf-8", "utf8") else encoding
    text = io.TextIOWrapper(rejoined, codec, errors="replace" if wide else "surrogateescape", newline="\n")
    return _decoded_lines(text, options.limit, encoding)


def _decoded_lines(stream: io.TextIOWrapper, limit: int, encoding: str) -> Iterator[TextLine]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        fault = ""
        if len(line) > limit and not line.endswith("\n"):
            fault = _too_large(len(line), lambda: stream.readline(1 << 20), limit)
        elif undecoded := UNDECODED.search(line):
            fault = f"not {encoding}: at character {undecoded.start() + 1} of the line"
        yield TextLine(line, number, fault, encoding)


def _too_large(size: int, read_on: Callable[[], str | bytes], limit: int) -> str:
    """Pass over the rest of a line."""
    part: str | bytes = ""
    while part[-1:] not in ("\n", b"\n") and (part := read_on()):
        size += len(part)
    return f"too large: a line of {size} characters, the limit is {limit}"


class _DetectedLines(Iterator[TextLine]):
    """Decodes line by line: files are joined from others, and the first letter above ASCII may come after gigabytes."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit, self._number = stream, limit, 0
        self._ahead = io.BytesIO()
        # The encodings of lines in ASCII and of others that are not UTF-8: None before the first; and whether a line surely was UTF-8.
        self._escaped: str | None = None
        self._legacy: str | None = None
        self._utf8 = False

    def __next__(self) -> TextLine:
        line = self._readline(self._limit + 1)
        if not line:
            raise StopIteration
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > self._limit and not line.endswith(b"\n"):
            fault = _too_large(len(line), lambda: self._readline(1 << 20), self._limit)
            return TextLine(line.decode("utf-8", "replace"), self._number, fault)
        text, encoding = self._decode(line)
        cut = not line.endswith(b"\n") and decode_up_to_cut(line, encoding, "folio-strays")[1]
        return TextLine(text, self._number, f"cut off: it ends inside a letter, of which {cut} bytes are there" if cut else "", encoding)

    def _decode(self, line: bytes) -> tuple[str, str]:
        if line.isascii():
            return self._decode_ascii(line)
        high = high_bytes(line)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        self._utf8 = self._utf8 or bool(text and high > FEW)
        if self._legacy is None and not self._utf8:
            self._legacy = encoding_of_lines(line + self._peek())
        # A few letters in two bytes each may look like UTF-8.
        if text and (self._utf8 or self._legacy not in DOUBLE):
            return text, "utf-8"
        name = legacy_encoding(line)
        if name != MIXED:
            self._legacy = name = self._legacy or encoding_of_lines(line + self._peek()) or name
        name = name.partition("+")[0]
        return line.decode(name, "folio-strays"), name

    def _decode_ascii(self, line: bytes) -> tuple[str, str]:
        if not any(mark in line for mark in ESCAPED):
            return line.decode("ascii"), "utf-8"
        if self._escaped is None:
            self._escaped = detect_escaped(b"".join(one for one in (line + self._peek()).splitlines(True) if one.isascii()))
        return line.decode(self._escaped or "ascii", "folio-strays"), self._escaped or "utf-8"

    def _peek(self) -> bytes:
        """Return the next 64 KB, which stay to be read."""
        ahead = self._ahead.read()
        ahead += self._stream.read(max(0, SAMPLE - len(ahead)))
        self._ahead = io.BytesIO(ahead)
        return ahead[:SAMPLE]

    def _readline(self, size: int) -> bytes:
        line = self._ahead.readline(size)
        return line if line.endswith(b"\n") or len(line) == size else line + self._stream.readline(size - len(line))
