"""DOCX (Office Open XML, ECMA-376) to text by mammoth: paragraphs, headings, lists, tables and notes, the notes at the end.

Formulas become their symbols on one line, and fields their last result. Pictures, comments, deleted text, headers and footers are left out;
other elements that mammoth does not know have a row each if words are in them. Nothing outside the file is opened.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.markup.tree import XHTML, tree_to_text, unwrapped
from data.sources.readers.markup.xml_tree import element_text
from data.sources.readers.office.zipped import member_xml, open_zipped
from data.sources.readers.parsing.record import BrokenRecord, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY, CORE = "word/document.xml", "docProps/core.xml"
NOTES = ("word/footnotes.xml", "word/endnotes.xml")
WRAPPERS = ("{*}fldSimple", "{*}oMathPara", "{*}dir", "{*}bdo")
"""Elements that mammoth would leave out with the words in them."""
UNKNOWN = "An unrecognised element was ignored: "
BACK_LINK = "\N{UPWARDS ARROW}"


def read_docx(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the title in the document's properties."""
    import mammoth
    from lxml import html

    with open_zipped(read_whole(stream, options), "docx") as document:
        body = member_xml(document, BODY, "docx")
        title = element_text(member_xml(document, CORE, "docx"), "{*}title") if CORE in document.namelist() else ""
        parts = {BODY: body} | {name: member_xml(document, name, "docx") for name in NOTES if name in document.namelist()}
        converted = mammoth.convert_to_html(_simplified(document, parts), convert_image=lambda image: [])
    page, text = converted.value, ""
    if page.strip():
        tree = html.document_fromstring(page)
        for link in tree.xpath(f".//a[normalize-space() = '{BACK_LINK}']"):
            link.text = ""
        text = tree_to_text(unwrapped(tree, XHTML), XHTML)
    if not text.strip():
        raise Unreadable("no text: the document has none, as one of pictures alone")
    yield Record(text, title=title)
    unknown = {one.message.removeprefix(UNKNOWN) for one in converted.messages if one.message.startswith(UNKNOWN)}
    for name in sorted(unknown):
        local = re.split("[:}]", name)[-1]
        size = sum(len(node.text or "") for part in parts.values() for node in part.iterfind(f".//{{*}}{local}//{{*}}t"))
        if size:
            yield BrokenRecord(f"not read: {size} characters in elements of the name {name}", f"in {name}")


def _simplified(document: zipfile.ZipFile, parts: dict[str, Any]) -> IO[bytes]:
    """Return the document with each formula as a run of its symbols, and without wrappers, since mammoth drops both."""
    from lxml import etree

    if not any(True for part in parts.values() for _ in part.iter("{*}oMath", *WRAPPERS)):
        assert document.fp is not None
        document.fp.seek(0)
        return document.fp
    for part in parts.values():
        for formula in list(part.iter("{*}oMath")):
            run = etree.Element(f"{{{WORDS}}}r")
            etree.SubElement(run, f"{{{WORDS}}}t").text = "".join(str(node.text or "") for node in formula.iter("{*}t"))
            formula.getparent().replace(formula, run)
        for wrapper in list(part.iter(*WRAPPERS)):
            parent = wrapper.getparent()
            position = parent.index(wrapper)
            parent[position : position + 1] = list(wrapper)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for name in document.namelist():
            copy.writestr(name, etree.tostring(parts[name]) if name in parts else document.read(name))
    out.seek(0)
    return out
