"""WARC (ISO 28500) and WET: responses of web servers. A record's number counts all records of the file, of any type.

Responses of HTML and plain text are read, as are the plain texts of WET files; what begins as a page is one, whatever its label says, and
without a label that says anything, too. Responses of other types, requests and metadata are not
documents; each type of them is quarantined as one row with its count. A response without success is quarantined with its status, one whose
body is cut off with that, and a record that doesn't end where its length says, too: the records behind it are found again by their first
line.

Cuts a WARC into its records, and finds the next one behind a record that doesn't end where its length says.

A record is a header, as many bytes as its Content-Length, and an empty line before the next record or the end of the file. A record that
ends otherwise is damaged; what follows is searched for the first line of a record, so one wrong length costs one record. Memory: one
record, up to the limit of a document. Where the stream itself breaks, the records before are given first, and then its error is raised.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from data.sources.archives.compression import RATIO_APPLIES_FROM, RATIO_LIMIT, buffered
from data.sources.decode import HEAD, detect_type
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import BrokenRecord, EmbeddedFile, ReaderOptions, ReaderOutput, RecordFilter

BLOCK = 1 << 18
HEADER = 1 << 16
LONGEST_MARK = 64
HEADER_END = re.compile(rb"\r?\n\r?\n")
LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
FIRST_LINE = re.compile(rb"\n(WARC/[0-9.]{1,8}\r?\n)")
MARK = b"WARC/"
LINE_ENDS = b"\r\n"


class WarcFrames:
    """Iterates over (record, "") and, for a record that can't be used, (b"", reason)."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = buffered(stream), limit
        self._buffer, self._ended = bytearray(), False
        self._fault: Unreadable | None = None

    def __iter__(self) -> Iterator[tuple[bytes, str]]:
        while self._skip_line_ends():
            yield self._record()
        if self._fault:
            raise self._fault

    def _record(self) -> tuple[bytes, str]:
        self._fill(HEADER)
        end = HEADER_END.search(self._buffer)
        if self._ended and end is None and (self._buffer.startswith(MARK) or MARK.startswith(self._buffer)):
            self._buffer.clear()
            return b"", "cut off: the file ends inside the header of a record"
        if not self._buffer.startswith(MARK) or end is None:
            return self._damaged("damaged record: it doesn't begin as a WARC record")
        length = LENGTH.search(self._buffer, 0, end.end())
        if length is None:
            return self._damaged("damaged record: its header has no length")
        size = int(length[1])
        if size > self._limit:
            return self._too_large(end.end(), size)
        whole = end.end() + size
        self._fill(whole + len(LINE_ENDS) * 4)
        following = bytes(self._buffer[whole : whole + LONGEST_MARK]).lstrip(LINE_ENDS)
        if len(self._buffer) >= whole and (following.startswith(MARK) or MARK.startswith(following)):
            record = bytes(self._buffer[:whole])
            del self._buffer[:whole]
            return record, ""
        missing = whole - len(self._buffer)
        if missing > 0 and not FIRST_LINE.search(self._buffer, end.end()):
            self._buffer.clear()
            return b"", f"cut off: the file ends {missing} bytes before the record does"
        return self._damaged("damaged record: it doesn't end where it says")

    def _too_large(self, begin: int, size: int) -> tuple[bytes, str]:
        """Pass over a record without keeping it. A record that begins inside it shows that the length is wrong."""
        del self._buffer[:begin]
        left = size
        while left > 0 and (self._buffer or self._fill(BLOCK)):
            self._fill(BLOCK)
            if mark := FIRST_LINE.search(self._buffer, 0, min(len(self._buffer), left)):
                del self._buffer[: mark.start(1)]
                return b"", "damaged record: it doesn't end where it says"
            passed = min(left, max(1, len(self._buffer) - LONGEST_MARK))
            del self._buffer[:passed]
            left -= passed
        if left > 0:
            return b"", f"cut off: the file ends {left} bytes before the record does"
        return b"", f"too large: {size} bytes, the limit is {self._limit}"

    def _damaged(self, fault: str) -> tuple[bytes, str]:
        """Drop everything before the next record's first line."""
        begin = 1
        while True:
            if mark := FIRST_LINE.search(self._buffer, begin):
                del self._buffer[: mark.start(1)]
                return b"", fault
            del self._buffer[: max(0, len(self._buffer) - LONGEST_MARK)]
            begin, size = 0, len(self._buffer)
            if not self._fill(size + BLOCK):
                self._buffer.clear()
                return b"", fault

    def _skip_line_ends(self) -> bool:
        """Return whether something follows."""
        while True:
            self._fill(LONGEST_MARK)
            kept = self._buffer.lstrip(LINE_ENDS)
            if kept or not self._buffer:
                del self._buffer[: len(self._buffer) - len(kept)]
                return bool(kept)
            self._buffer.clear()

    def _fill(self, size: int) -> bool:
        """Read until the buffer holds `size` bytes or the stream ends; return whether anything was read."""
        before = len(self._buffer)
        while not self._ended and len(self._buffer) < size:
            try:
                # A single read of the underlying stream, which keeps the bytes before a fault.
                block = self._stream.read1(BLOCK)
            except Unreadable as error:
                block, self._fault = b"", error
            self._ended = not block
            self._buffer += block
        return len(self._buffer) > before


KINDS = {"text/html": "html", "application/xhtml+xml": "html", "text/plain": "txt"}
# Labels that servers give to what they don't know: the bytes say whether it is a page.
UNSURE = frozenset({"", "application/octet-stream", "application/unknown", "unknown/unknown", "application/xml", "text/xml"})
WITH_CONTENT = ("response", "resource", "conversion")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
OTHERS, MOST_LABELS, LONGEST_LABEL = "other types", 50, 80  # types are what a file says, so they are as many and as long as it likes
FAULTS = (EOFError, OSError, ValueError, LookupError, AttributeError, zlib.error)


def read_warc(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each response of text. Raise Unreadable if the file is damaged or holds none."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.statusandheaders import StatusAndHeadersParserException

    number = found = 0
    others: Counter[str] = Counter()
    for frame, fault in WarcFrames(stream, options.limit):
        number += 1
        name = str(number)
        try:
            record = None if fault else next(ArchiveIterator(io.BytesIO(frame)), None)
            kind, charset = _content_type(record) if record else ("", "")
            found_page, answer = kind in KINDS, None
            if record is not None and record.rec_type in WITH_CONTENT and kind in UNSURE:
                answer = _response(record, name, "", charset, options)
                found_page = isinstance(answer, EmbeddedFile) and answer.format == "html"
            if not fault and (record is None or record.rec_type not in WITH_CONTENT or not found_page):
                label = _label(record, kind)
                others[label if label in others or len(others) < MOST_LABELS else OTHERS] += 1
                continue
            found += 1
            if wanted(name):
                yield BrokenRecord(fault, name) if record is None else answer or _response(record, name, KINDS[kind], charset, options)
        except (HostileArchive, Unreadable):
            raise
        except (ArchiveLoadFailed, StatusAndHeadersParserException, *FAULTS) as error:
            found += 1
            if wanted(name):
                yield BrokenRecord(f"damaged record: {error}", name)
    for label, count in sorted(others.items()):
        if wanted(label):
            yield BrokenRecord(f"not read: {count} of type {label}", label)
    if not found:
        raise Unreadable(f"no text: none of its {number} records is an answer of HTML or plain text")


def _label(record: Any, kind: str) -> str:
    """Return the type of a record that holds no text: its own, and that of its content where it is an answer."""
    if record is None:
        return "blank record"
    own = str(record.rec_type or "").lower()
    named = f"{own} of {kind or 'no stated type'}" if own in WITH_CONTENT else own or "no stated type"
    return re.sub(r"[^a-z0-9/.+ _-]", "?", named)[:LONGEST_LABEL]


def _content_type(record: Any) -> tuple[str, str]:
    headers = record.http_headers or record.rec_headers
    kind, _, rest = str(headers.get_header("Content-Type") or "").partition(";")
    charset = rest.partition("charset=")[2].partition(";")[0].strip().strip("\"'")
    return kind.strip().lower(), charset


def _response(record: Any, name: str, kind: str, charset: str, options: ReaderOptions) -> EmbeddedFile | BrokenRecord:
    status = record.http_headers.get_statuscode() if record.http_headers else "200"
    if not status.startswith("2"):
        return BrokenRecord(f"no success: HTTP status {status[:20]}", name)
    if truncated := record.rec_headers.get_header("WARC-Truncated"):
        return BrokenRecord(f"cut off: by the crawler, which says why: {truncated[:LONGEST_LABEL]}", name)
    try:
        content, whole = _body(record, options.limit)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        return BrokenRecord(f"damaged record: {error}", name)
    if len(content) > options.limit:
        return BrokenRecord(f"too large: more than the limit of {options.limit} bytes", name)
    if len(content) > RATIO_APPLIES_FROM and len(content) > RATIO_LIMIT * max(record.length or 1, 1):
        return BrokenRecord(f"hostile record: it unpacks to more than {RATIO_LIMIT} times its size", name)
    if not whole:
        return BrokenRecord(f"cut off: its compressed body breaks after {len(content)} bytes", name)
    kind = "html" if detect_type(content[:HEAD]) == "html" else kind
    return EmbeddedFile(kind, content, name, charset, str(record.rec_headers.get_header("WARC-Target-URI") or ""))


def _body(record: Any, limit: int) -> tuple[bytes, bool]:
    """Return a response's body, of an oversized one just enough to exceed the limit, and whether its compression ends as it should."""
    from warcio.bufferedreaders import BufferedReader

    headers = record.http_headers
    sent: bytes = record.raw_stream.read()
    if headers and str(headers.get_header("Transfer-Encoding") or "").strip().lower() == "chunked":
        sent = _without_chunks(sent)
    encoding = str(headers.get_header("Content-Encoding") or "").strip().lower() if headers else ""
    if not sent or encoding not in BufferedReader.get_supported_decompressors():
        return sent, True
    stream = BufferedReader(io.BytesIO(sent), decomp_type=encoding)
    content: bytes = stream.read(limit + 1)
    # A body that isn't compressed, whatever its header says, has no decompressor any more.
    unpacking = stream.decompressor
    return content, unpacking is None or bool(unpacking.is_finished() if encoding == "br" else unpacking.eof)


def _without_chunks(sent: bytes) -> bytes:
    """Return a chunked body (RFC 9112) joined. One that isn't chunked, as crawlers may store it, stays. Raise EOFError if it is cut."""
    parts, position = list[bytes](), 0
    while chunk := CHUNK.match(sent, position):
        position = chunk.end() + int(chunk[1], 16)
        if position == chunk.end():
            return b"".join(parts)
        if not sent.startswith(b"\r\n", position):
            raise EOFError(f"its body is cut off in chunk {len(parts) + 1}")
        parts.append(sent[chunk.end() : position])
        position += 2
    if parts:
        raise EOFError(f"its body is cut off after chunk {len(parts)}")
    return sent
