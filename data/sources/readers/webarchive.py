"""WARC (ISO 28500) and WET: what web servers answered. The number of a record is that of its place in the file, whatever its kind.

Answers of HTML and plain text are read, and the plain texts that were made of pages (WET); answers of other kinds, requests and notes are
no documents and are passed over. An answer other than success is put aside with its status.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any

from data.sources.compression import RATIO_APPLIES_FROM, RATIO_LIMIT
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import Broken, Found, Inner, Options, Wanted

KINDS = {"text/html": "html", "application/xhtml+xml": "html", "text/plain": "txt"}


def read_warc(stream: IO[bytes], options: Options, wanted: Wanted) -> Iterator[Found]:
    """A record for each answer of text. Raises Unreadable where the file is damaged, or holds none at all."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.statusandheaders import StatusAndHeadersParserException

    number = answers = 0
    try:
        for record in ArchiveIterator(stream, arc2warc=True):
            number += 1
            if record.rec_type not in ("response", "resource", "conversion"):
                continue
            kind, charset = _content_type(record)
            if kind not in KINDS:
                continue
            answers += 1
            if wanted(str(number)):
                yield _answer(record, str(number), KINDS[kind], charset, options)
    except (HostileArchive, Unreadable):
        raise
    except (
        ArchiveLoadFailed,
        StatusAndHeadersParserException,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        zlib.error,
    ) as error:
        raise Unreadable(f"damaged warc: after record {number}: {error}") from error
    if not answers:
        raise Unreadable(f"no text: none of its {number} records is an answer of HTML or plain text")


def _content_type(record: Any) -> tuple[str, str]:
    headers = record.http_headers or record.rec_headers
    kind, _, rest = str(headers.get_header("Content-Type") or "").partition(";")
    charset = rest.partition("charset=")[2].partition(";")[0].strip().strip("\"'")
    return kind.strip().lower(), charset


def _answer(record: Any, name: str, kind: str, charset: str, options: Options) -> Inner | Broken:
    status = record.http_headers.get_statuscode() if record.http_headers else "200"
    if not status.startswith("2"):
        return Broken(f"no success: HTTP status {status[:20]}", name)
    try:
        content = record.content_stream().read(options.limit + 1)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        return Broken(f"damaged record: {error}", name)
    if len(content) > options.limit:
        return Broken(f"too large: more than the limit of {options.limit} bytes", name)
    if len(content) > RATIO_APPLIES_FROM and len(content) > RATIO_LIMIT * max(record.length or 1, 1):
        return Broken(f"hostile record: it unpacks to more than {RATIO_LIMIT} times its size", name)
    return Inner(kind, content, name, charset, str(record.rec_headers.get_header("WARC-Target-URI") or ""))
