"""TEI and FB2: editions in XML, to text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole
from data.sources.readers.tree import ElementRoles, element_text, notes_to_end, parse_xml, tree_to_text, unwrapped

TEI = ElementRoles(
    blocks=frozenset(
        {"ab", "argument", "back", "body", "byline", "castlist", "closer", "dateline", "div", "div1", "div2", "div3", "docauthor",
         "docimprint", "doctitle", "epigraph", "figdesc", "front", "group", "head", "lg", "list", "note", "opener", "p", "q", "quote",
         "salute", "signed", "sp", "speaker", "stage", "table", "text", "titlepage", "titlepart", "trailer"}
    ),
    items=frozenset({"item", "castitem"}),
    rows=frozenset({"row", "l"}),
    cells=frozenset({"cell"}),
    breaks=frozenset({"lb"}),
    kept=frozenset({"eg"}),
    skipped=frozenset({"teiheader", "fw", "facsimile", "standoff"}),
)  # fmt: skip
FIRST_READINGS = {"orig": "reg", "sic": "corr", "abbr": "expan"}


def read_tei(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    left = LeftOut()
    root = parse_xml(read_whole(stream, options), "tei")
    for choice in list(root.iter("{*}choice")):
        present = {str(node.tag).rpartition("}")[2]: node for node in choice if isinstance(node.tag, str)}
        for first, other in FIRST_READINGS.items():
            if first in present and other in present:
                present[first].tail = None
                left.add(f"readings marked {first}", "".join(present[first].itertext()))
                choice.remove(present[first])
    for apparatus in list(root.iter("{*}app")):
        _keep_one_reading(apparatus, left)
    # The texts of a group are inside its own.
    texts = [text for text in root.iter("{*}text") if next(text.iterancestors("{*}text"), None) is None]
    for other in (node for node in root.iter("{*}teiHeader", "{*}facsimile", "{*}standOff", "{*}sourceDoc") if not _inside(node, texts)):
        left.add(f"{other.tag.rpartition('}')[2]} elements", " ".join(other.itertext()))
    for text in texts:
        notes_to_end(text, ((note, None, note) for note in list(text.iter("{*}note")) if note.getparent() is not text))
    found = "\n\n".join(filter(None, (tree_to_text(unwrapped(text, TEI), TEI, left) for text in texts)))
    if not found.strip():
        raise Unreadable("no text: its body is empty")
    yield Record(found, title=element_text(root, ".//{*}titleStmt/{*}title"))
    yield from left.rows()


def _inside(node: Any, texts: list[Any]) -> bool:
    return any(above in texts for above in node.iterancestors("{*}text"))


def _keep_one_reading(apparatus: Any, left: LeftOut) -> None:
    """Remove all readings of a passage but the editor's, or the first if he chose none."""
    readings = [node for node in apparatus.iter("{*}lem", "{*}rdg") if next(node.iterancestors("{*}app")) is apparatus]
    chosen = min(readings, key=lambda node: not str(node.tag).endswith("lem"), default=None)
    for reading in readings:
        reading.tail = None
        if reading is not chosen:
            left.add("other readings", "".join(reading.itertext()))
            reading.getparent().remove(reading)
    apparatus.text = None


FB2 = ElementRoles(
    blocks=frozenset(
        {"annotation", "body", "cite", "epigraph", "p", "poem", "section", "stanza", "subtitle", "table", "text-author", "title"}
    ),
    items=frozenset(),
    rows=frozenset({"tr", "v"}),
    cells=frozenset({"td", "th"}),
    breaks=frozenset({"empty-line"}),
    kept=frozenset(),
    skipped=frozenset({"binary", "description", "image"}),
)


def read_fb2(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    root = parse_xml(read_whole(stream, options), "fb2")
    left = LeftOut()
    text = "\n\n".join(filter(None, (tree_to_text(body, FB2, left) for body in root.findall("{*}body"))))
    for other in (node for node in root if isinstance(node.tag, str) and not node.tag.endswith("}body") and node.tag != "body"):
        left.add(f"{other.tag.rpartition('}')[2]} elements", " ".join(other.itertext()))
    if not text.strip():
        raise Unreadable("no text: its bodies are empty")
    yield Record(text, title=element_text(root, ".//{*}title-info/{*}book-title"))
    yield from left.rows()
