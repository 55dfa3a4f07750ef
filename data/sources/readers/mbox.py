"""Mailboxes (RFC 4155): one record per message, numbered from 1 and titled by its subject, of its plain text or else its HTML.

Attachments are quarantined by name. Memory holds one message.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart
from typing import IO

from data.sources.decode import decode_labelled, is_blank
from data.sources.errors import Unreadable
from data.sources.readers.record import BrokenRecord, LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter
from data.sources.readers.tree import XHTML, tree_to_text

FROM_LINE = re.compile(rb"From \S.*\d{4}")
QUOTED_FROM = re.compile(rb"(?m)^>(>*From )")
LINE = 1 << 20


def read_mbox(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each message, and one for each attachment. Raise Unreadable if there is none."""
    number = 0
    for number, content in enumerate(_messages(stream, options.limit), start=1):
        yield from (result for result in _read_message(content, str(number), options) if wanted(result.name))
    if not number:
        raise Unreadable("no text: it holds no message")


def _messages(stream: IO[bytes], limit: int) -> Iterator[bytes]:
    """Yield the bytes of each message after its From line; of an oversized one, just enough to exceed the limit."""
    parts: list[bytes] | None = None
    size, blank = 0, True
    while line := stream.readline(LINE):
        if blank and FROM_LINE.match(line):
            if parts is not None:
                yield b"".join(parts)
            parts, size = [], 0
        elif parts is None and line.strip():
            raise Unreadable("damaged mbox: it doesn't begin with a From line")
        elif parts is not None and size <= limit:
            parts.append(line)
            size += len(line)
        blank = not line.strip()
    if parts is not None:
        yield b"".join(parts)


def _read_message(content: bytes, name: str, options: ReaderOptions) -> Iterator[Record | BrokenRecord]:
    if len(content) > options.limit:
        yield BrokenRecord(f"too large: more than the limit of {options.limit} bytes", name)
        return
    try:
        message = email.message_from_bytes(QUOTED_FROM.sub(rb"\1", content), EmailMessage, policy=email.policy.default)
        body = message.get_body(("plain", "html"))
        text = _body_text(body) if body is not None else ""
        subject = " ".join(str(message.get("Subject", "")).split())
        attached = [(part.get_content_type(), part.get_filename() or "without a name") for part in message.iter_attachments()]
        left = LeftOut()
        _count_rest(message, body, left)
    except Exception as error:  # noqa: BLE001  # email raises anything for an odd header; the message becomes the record's reason
        yield BrokenRecord(f"damaged message: {type(error).__name__}: {error}"[:1000], name)
        return
    yield BrokenRecord("empty: a message without words", name) if is_blank(text) else Record(text, name, subject)
    for row in left.rows():
        yield row._replace(name=f"{name}.{row.name}")
    for number, (kind, file) in enumerate(attached, start=1):
        yield BrokenRecord(f"attachment: {file}, {kind}; attachments are not read", f"{name}.{number}")


def _count_rest(message: EmailMessage, body: MIMEPart | None, left: LeftOut) -> None:
    """Count what is neither the body nor an attachment: other forms of the same words, and lines around the parts. Record damage."""
    attached = {id(part) for one in message.iter_attachments() for part in one.walk()}
    for part in message.walk():
        for defect in part.defects:
            left.fault(f"damaged message: {type(defect).__name__}")
        if part.is_multipart():
            left.add("lines around parts", f"{part.preamble or ''}{part.epilogue or ''}")
        elif part is not body and id(part) not in attached:
            payload = part.get_payload(decode=True)
            left.add(f"other forms, {part.get_content_type()}", len(payload) if isinstance(payload, bytes) else 0)


def _body_text(body: MIMEPart) -> str:
    payload = body.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    text = decode_labelled(content, (body.get_content_charset("utf-8"),)).text if content.strip() else ""
    if body.get_content_subtype() == "html" and text.strip():
        from lxml import etree, html

        try:
            tree = html.document_fromstring(text.encode("utf-8"), parser=html.HTMLParser(encoding="utf-8", no_network=True))
        except etree.ParserError:
            return ""  # nothing but comments
        return tree_to_text(tree, XHTML)
    return text.replace("\r\n", "\n").strip("\n")
