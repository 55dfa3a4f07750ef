"""ODT (OpenDocument text, ISO 26300): paragraphs, headings, lists, tables and notes, the notes at the end.

An ODT is a zip of XML and is read with lxml; odfpy, the library for it, is unmaintained since 2020. Comments, deleted text, pictures and
formulas are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.markup.notes import notes_to_end
from data.sources.readers.markup.tree import ElementRoles, tree_to_text, unwrapped
from data.sources.readers.markup.xml_tree import element_text
from data.sources.readers.office.zipped import member_xml, open_zipped
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

CONTENT, META, MANIFEST = "content.xml", "meta.xml", "META-INF/manifest.xml"
TITLE = ".//{http://purl.org/dc/elements/1.1/}title"
ODT = ElementRoles(
    blocks=frozenset({"p", "h", "list", "table", "section", "text"}),
    items=frozenset({"list-item"}),
    rows=frozenset({"table-row"}),
    cells=frozenset({"table-cell"}),
    breaks=frozenset({"line-break"}),
    kept=frozenset(),
    skipped=frozenset({"annotation", "forms", "image", "object", "tracked-changes"}),
)


def read_odt(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the title in the document's properties. Raise Unreadable for an encrypted document."""
    with open_zipped(read_whole(stream, options), "odt") as document:
        if MANIFEST in document.namelist() and member_xml(document, MANIFEST, "odt").find(".//{*}encryption-data") is not None:
            raise Unreadable("encrypted: it asks for a password")
        root = member_xml(document, CONTENT, "odt")
        title = element_text(member_xml(document, META, "odt"), TITLE) if META in document.namelist() else ""
    body = root.find(".//{*}body/{*}text")
    if body is None:
        raise Unreadable("no text: it is an OpenDocument file of another kind, such as a table or a drawing")
    for space in body.iter("{*}s"):
        space.text = " " * min(int(_attribute(space, "c") or 1), 1000)
    for tab in body.iter("{*}tab"):
        tab.text = "\t"
    notes_to_end(body, ((note, note.find("{*}note-citation"), note.find("{*}note-body")) for note in list(body.iter("{*}note"))))
    text = tree_to_text(unwrapped(body, ODT), ODT)
    if not text.strip():
        raise Unreadable("no text: the document has none")
    yield Record(text, title=title)


def _attribute(node: Any, name: str) -> str:
    return next((str(value) for key, value in node.attrib.items() if key.rpartition("}")[2] == name and str(value).isdigit()), "")
