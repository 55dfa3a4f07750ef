"""WARC (ISO 28500) and WET: responses of web servers. A record's number counts all records of the file, of any type.

Responses of HTML and plain text are read, as are the plain texts of WET files. Responses of other types, requests and metadata are not
documents; each type of them is quarantined as one row with its count. A response without success is quarantined with its status, one whose
body is cut off with that, and a record that doesn't end where its length says, too: the records behind it are found again by their first
line.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from data.sources.archives.compression import RATIO_APPLIES_FROM, RATIO_LIMIT
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.parsing.record import BrokenRecord, EmbeddedFile, ReaderOptions, ReaderOutput, RecordFilter
from data.sources.readers.records.warc_frames import WarcFrames

KINDS = {"text/html": "html", "application/xhtml+xml": "html", "text/plain": "txt"}
WITH_CONTENT = ("response", "resource", "conversion")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
OTHERS, MOST_LABELS, LONGEST_LABEL = "other types", 50, 80
"""Types are what a file says, so they are as many and as long as it likes."""
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
            if not fault and (record is None or record.rec_type not in WITH_CONTENT or kind not in KINDS):
                label = _label(record, kind)
                others[label if label in others or len(others) < MOST_LABELS else OTHERS] += 1
                continue
            found += 1
            if wanted(name):
                yield BrokenRecord(fault, name) if record is None else _response(record, name, KINDS[kind], charset, options)
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
