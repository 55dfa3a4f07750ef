"""DOCX and ODT, what word processors write, to text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

from data.sources.archives.archive import open_zipped, read_zip_member, zip_faults
from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole
from data.sources.readers.tree import XHTML, ElementRoles, element_text, notes_to_end, parse_xml, tree_to_text, unwrapped


def member_xml(opened: zipfile.ZipFile, name: str, kind: str) -> Any:
    """Return the parsed root of a member. Raise Unreadable if it is missing or no XML, HostileArchive if it declares entities."""
    return parse_xml(read_zip_member(opened, name, kind), kind)


WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY, CORE = "word/document.xml", "docProps/core.xml"
NOTES = ("word/footnotes.xml", "word/endnotes.xml")
WRAPPERS = ("{*}fldSimple", "{*}oMathPara", "{*}dir", "{*}bdo")  # elements that mammoth would leave out with the words in them
UNKNOWN = "An unrecognised element was ignored: "
BACK_LINK = "\N{UPWARDS ARROW}"


def read_docx(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the title in the document's properties."""
    import mammoth
    from lxml import html

    left = LeftOut()
    with open_zipped(read_whole(stream, options), "docx") as document:
        body = member_xml(document, BODY, "docx")
        title = element_text(member_xml(document, CORE, "docx"), "{*}title") if CORE in document.namelist() else ""
        parts = {BODY: body} | {name: member_xml(document, name, "docx") for name in NOTES if name in document.namelist()}
        written = ["".join(str(node.text or "").split()) for part in parts.values() for node in part.iter("{*}t")]
        converted = mammoth.convert_to_html(_simplified(document, parts), convert_image=lambda image: [])
        _count_parts(document, parts, left)
    page, text = converted.value, ""
    if page.strip():
        tree = html.document_fromstring(page)
        for link in tree.xpath(f".//a[normalize-space() = '{BACK_LINK}']"):
            link.text = ""
        text = tree_to_text(unwrapped(tree, XHTML), XHTML, left)
    if not text.strip():
        raise Unreadable("no text: the document has none, as one of pictures alone")
    yield Record(text, title=title)
    unknown = {one.message.removeprefix(UNKNOWN) for one in converted.messages if one.message.startswith(UNKNOWN)}
    for name in sorted(unknown):
        local = re.split("[:}]", name)[-1]
        size = sum(len(node.text or "") for part in parts.values() for node in part.iterfind(f".//{{*}}{local}//{{*}}t"))
        left.count(f"{name} elements", size, unit="characters")
    for deleted in (node.text for part in parts.values() for node in part.iter("{*}delText")):
        left.add("deleted words", deleted)
    if not unknown:
        _count_missing(written, "".join(text.split()), left)
    yield from left.rows()


def _count_missing(written: list[str], text: str, left: LeftOut) -> None:
    """Count the runs whose words are nowhere in the text: mammoth, which converts them, says nothing of some that it drops."""
    position = 0
    for words in written:
        found = text.find(words, position)
        found = found if found >= 0 else text.find(words)
        if found < 0:
            left.add("runs that were not converted", words)
        else:
            position = found + len(words)


def _count_parts(document: zipfile.ZipFile, parts: Mapping[str, Any], left: LeftOut) -> None:
    """Count the words of the parts that are not converted, such as headers, comments and charts, and the bytes of whole files inside."""
    for name in document.namelist():
        if name in parts or not name.startswith("word/"):
            continue
        if name.endswith(".xml"):
            left.add(name, " ".join("".join(p.itertext("{*}t")) for p in member_xml(document, name, "docx").iter("{*}p")))
        elif not name.startswith("word/media/") and not name.endswith((".rels", "/")):
            left.count("embedded files", document.getinfo(name).file_size, name)
    for fault in zip_faults(document):
        left.fault(fault)


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


TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
PICTURE = "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0"
COUNT = re.compile("0*([0-9]{1,4})[0-9]*")  # of spaces: its first digits, since a number has no end here
CONTENT, META, STYLES, MANIFEST = "content.xml", "meta.xml", "styles.xml", "META-INF/manifest.xml"
TITLE = ".//{http://purl.org/dc/elements/1.1/}title"
ODT = ElementRoles(
    blocks=frozenset({"p", "h", "list", "table", "section", "text"}),
    items=frozenset({"list-item"}),
    rows=frozenset({"table-row"}),
    cells=frozenset({"table-cell"}),
    breaks=frozenset({"line-break"}),
    kept=frozenset(),
    skipped=frozenset({"annotation", "forms", "image", "object", "tracked-changes", "desc", "script", "ruby-text", "hidden"}),
    attributes=frozenset({f"{{{TEXT}}}{name}" for name in ("value", "string-value", "string-value-if-true", "string-value-if-false")}),
)


def read_odt(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the title in the document's properties. Raise Unreadable for an encrypted document."""
    left = LeftOut()
    with open_zipped(read_whole(stream, options), "odt") as document:
        if MANIFEST in document.namelist() and member_xml(document, MANIFEST, "odt").find(".//{*}encryption-data") is not None:
            raise Unreadable("encrypted: it asks for a password")
        root = member_xml(document, CONTENT, "odt")
        title = element_text(member_xml(document, META, "odt"), TITLE) if META in document.namelist() else ""
        # Headers and footers are styles of pages; formulas and charts are documents inside.
        for name in document.namelist():
            if name == STYLES or (name.endswith("/content.xml") and name != CONTENT):
                left.add(name, " ".join("".join(p.itertext()) for p in member_xml(document, name, "odt").iter("{*}p", "{*}h")))
        for fault in zip_faults(document):
            left.fault(fault)
    body = root.find(".//{*}body/{*}text")
    if body is None:
        raise Unreadable("no text: it is an OpenDocument file of another kind, such as a table or a drawing")
    _mark_hidden(root, body)
    for space in body.iter("{*}s"):
        count = COUNT.fullmatch(_attribute(space, "c"))
        space.text = " " * (min(int(count[1]), 1000) if count else 1)
    for tab in body.iter("{*}tab"):
        tab.text = "\t"
    notes_to_end(body, ((note, note.find("{*}note-citation"), note.find("{*}note-body")) for note in list(body.iter("{*}note"))))
    text = tree_to_text(unwrapped(body, ODT), ODT, left)
    if not text.strip():
        raise Unreadable("no text: the document has none")
    yield Record(text, title=title)
    yield from left.rows()


def _mark_hidden(root: Any, body: Any) -> None:
    """Name `hidden` what a reader of the document does not see: by its own word, or by its style."""
    for title in body.iter(f"{{{PICTURE}}}title"):
        title.tag = "desc"
    styled = root.iterfind(".//{*}automatic-styles/{*}style")
    styles = {
        _attribute(style, "name")
        for style in styled
        if any(_attribute(one, "display") == "none" for one in style.iterfind("{*}text-properties"))
    }
    for node in list(body.iter("{*}hidden-paragraph", "{*}hidden-text", "{*}span", "{*}p", "{*}h", "{*}section", "{*}table-row")):
        name = node.tag.rpartition("}")[2]
        if name == "hidden-text" and not (node.text or "").strip():
            node.text = _attribute(node, "string-value")
        by_style = _attribute(node, "style-name") in styles or _attribute(node, "display") == "none"
        if name == "hidden-paragraph" and _attribute(node, "is-hidden") != "false":
            next(node.iterancestors("{*}p", "{*}h"), node).tag = "hidden"
        elif (
            by_style
            or (name == "hidden-text" and _attribute(node, "is-hidden") != "false")
            or _attribute(node, "visibility") in ("collapse", "filter")
        ):
            node.tag = "hidden"


def _attribute(node: Any, name: str) -> str:
    """An attribute of this name in any namespace; "" without one."""
    return next((str(value) for key, value in node.attrib.items() if key.rpartition("}")[2] == name), "")
