"""PDF: the text layer of each page, by PDFium (pypdfium2), with a form feed between pages, which cleaning reads as a page break.

A file without a text layer, such as a scan, is Unreadable, as is one with a password. Reading order and spaces are PDFium's. PDFium draws
what it can of a damaged page and says nothing, so streams are decompressed once more here; pages that give no text, annotations, form
fields and attached files are counted.
"""

from __future__ import annotations

import ctypes
import re
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

if TYPE_CHECKING:
    import pypdfium2

HYPHENS = str.maketrans({"\ufffe": "-", "\x02": "-", "\0": None})  # PDFium's markers for a hyphen at a line end, and NUL


STREAM = re.compile(rb"(?<!end)stream\r?\n")
OBJECT = re.compile(rb"(\d{1,10}) \d{1,5} obj")
FILTERS = re.compile(rb"/Filter\s*\[?\s*((?:/\w+\s*)+)")
JOINED = re.compile(rb"%%EOF\s*%PDF-\d")
ENCRYPTED = re.compile(rb"/Encrypt\s+\d+\s+\d+\s+R|/Encrypt\s*<<")
DICTIONARY, BLOCK, LARGEST, TAIL, SHOWN = 4096, 1 << 16, 64 << 20, 2048, 10


def read_pdf(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    import pypdfium2

    content, left = read_whole(stream, options), LeftOut()
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("encrypted: it asks for a password" if "password" in str(error).lower() else f"damaged pdf: {error}") from error
    try:
        pages, empty = list[str](), list[str]()
        for number in range(len(document)):
            try:
                pages.append(_page(document, number, left))
            except pypdfium2.PdfiumError as error:
                left.fault(f"damaged pdf: page {number + 1}: {error}")
                continue
            if not pages[-1].strip():
                empty.append(str(number + 1))
        attached = document.count_attachments()
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"damaged pdf: {error}") from error
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise Unreadable(f"no text layer: none of its {len(pages)} pages has text, as in a scan")
    yield Record("\n\f\n".join(pages))
    if empty:
        shown = ", ".join(empty[:SHOWN]) + (" and others" if len(empty) > SHOWN else "")
        left.fault(f"no text layer: {len(empty)} of {len(pages)} pages give no text: {shown}")
    if attached:
        left.fault(f"attachment: {attached} files are attached; attachments are not read")
    for fault in _damaged_streams(content):
        left.fault(fault)
    if joined := list(JOINED.finditer(content)):
        left.fault(f"joined: {len(joined)} more PDF stand in front of the last, {joined[-1].start() + 5:,} bytes, and are not read")
    if b"%%EOF" not in content[-TAIL:]:
        left.fault("cut off: the mark of its end is missing, so pages may be, too")
    yield from left.rows()


def _damaged_streams(content: bytes) -> Iterator[str]:
    """Yield what is wrong with each compressed stream. Encrypted ones can't be told from damaged ones and are left alone."""
    if ENCRYPTED.search(content):
        return
    position = 0
    while found := STREAM.search(content, position):
        begin = found.end()
        named = OBJECT.findall(content, max(position, found.start() - DICTIONARY), found.start())
        start = content.rfind(b" obj", position, found.start())
        dictionary = content[max(start, position) : found.start()]
        end = content.find(b"endstream", begin)
        position = end if end >= 0 else len(content)
        filters = FILTERS.search(dictionary)
        if filters is None or filters[1].split()[:1] != [b"/FlateDecode"]:
            continue
        unpacker, size = zlib.decompressobj(), 0
        try:
            for at in range(begin, position, BLOCK):
                size += len(unpacker.decompress(content[at : min(at + BLOCK, position)], LARGEST))
                if unpacker.eof or unpacker.unconsumed_tail:
                    break
        except zlib.error as error:
            fault = str(error)
        else:
            fault = "" if unpacker.eof or unpacker.unconsumed_tail else "it is cut off"
        if fault:
            number = named[-1].decode("ascii") if named else "?"
            yield f"damaged pdf: the stream of object {number} breaks after {size} bytes unpacked, of {position - begin} packed ({fault})"


def _page(document: pypdfium2.PdfDocument, number: int, left: LeftOut) -> str:
    page = document[number]
    try:
        _count_annotations(page, left, f"on page {number + 1}")
        layer = page.get_textpage()
        try:
            text = str(layer.get_text_bounded(errors="replace"))
        finally:
            layer.close()
    finally:
        page.close()
    return text.translate(HYPHENS).replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def _count_annotations(page: pypdfium2.PdfPage, left: LeftOut, place: str) -> None:
    import pypdfium2.raw as pdfium

    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        for key, kind in ((b"Contents", "annotations"), (b"V", "form fields")):
            size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
            buffer = ctypes.create_string_buffer(size)
            pdfium.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
            left.add(kind, buffer.raw.decode("utf-16-le", "replace").rstrip("\0"), place)
        pdfium.FPDFPage_CloseAnnot(annotation)
