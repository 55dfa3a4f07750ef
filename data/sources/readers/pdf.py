"""PDF: the text layer of each page, by PDFium (pypdfium2), with a form feed between pages, which cleaning reads as a page break.

A file without a text layer, such as a scan, is Unreadable, as is one with a password. Reading order and spaces are PDFium's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from data.sources.errors import Unreadable
from data.sources.readers.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

if TYPE_CHECKING:
    import pypdfium2

HYPHENS = str.maketrans({"\ufffe": "-", "\x02": "-", "\0": None})  # PDFium's markers for a hyphen at a line end, and NUL


def read_pdf(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    import pypdfium2

    content = read_whole(stream, options)
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("encrypted: it asks for a password" if "password" in str(error).lower() else f"damaged pdf: {error}") from error
    try:
        pages = [_page(document, number) for number in range(len(document))]
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"damaged pdf: {error}") from error
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise Unreadable(f"no text layer: none of its {len(pages)} pages has text, as in a scan")
    yield Record("\n\f\n".join(pages))


def _page(document: pypdfium2.PdfDocument, number: int) -> str:
    page = document[number]
    try:
        layer = page.get_textpage()
        try:
            text = str(layer.get_text_bounded(errors="replace"))
        finally:
            layer.close()
    finally:
        page.close()
    return text.translate(HYPHENS).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
