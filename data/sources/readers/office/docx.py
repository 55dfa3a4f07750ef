"""DOCX (Office Open XML, ECMA-376) to text by mammoth: paragraphs, headings, lists, tables and notes, the notes at the end.

Formulas become their symbols on one line. Pictures, comments, deleted text, headers and footers are left out. Nothing outside the file is
opened.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.markup.tree import XHTML, tree_to_text, unwrapped
from data.sources.readers.markup.xml_tree import element_text
from data.sources.readers.office.zipped import member_xml, open_zipped
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY, CORE = "word/document.xml", "docProps/core.xml"
BACK_LINK = "\N{UPWARDS ARROW}"


def read_docx(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the title in the document's properties."""
    import mammoth
    from lxml import html

    with open_zipped(read_whole(stream, options), "docx") as document:
        body = member_xml(document, BODY, "docx")
        title = element_text(member_xml(document, CORE, "docx"), "{*}title") if CORE in document.namelist() else ""
        page = mammoth.convert_to_html(_with_plain_formulas(document, body), convert_image=lambda image: []).value
    text = ""
    if page.strip():
        tree = html.document_fromstring(page)
        for link in tree.xpath(f".//a[normalize-space() = '{BACK_LINK}']"):
            link.text = ""
        text = tree_to_text(unwrapped(tree, XHTML), XHTML)
    if not text.strip():
        raise Unreadable("no text: the document has none, as one of pictures alone")
    yield Record(text, title=title)


def _with_plain_formulas(document: zipfile.ZipFile, body: Any) -> IO[bytes]:
    """Return the document with each formula as a run of its symbols, since mammoth drops formulas."""
    from lxml import etree

    formulas = [node for node in body.iter("{*}oMath")]
    if not formulas:
        assert document.fp is not None
        document.fp.seek(0)
        return document.fp
    for formula in formulas:
        symbols = "".join(str(node.text or "") for node in formula.iter("{*}t"))
        run = etree.Element(f"{{{WORDS}}}r")
        etree.SubElement(run, f"{{{WORDS}}}t").text = symbols
        run.tail = formula.tail
        formula.getparent().replace(formula, run)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for name in document.namelist():
            copy.writestr(name, etree.tostring(body) if name == BODY else document.read(name))
    out.seek(0)
    return out
