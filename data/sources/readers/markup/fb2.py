"""FB2 (FictionBook 2): a book's bodies in order, the notes last as they stand in the file, without pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.errors import Unreadable
from data.sources.readers.markup.tree import ElementRoles, tree_to_text
from data.sources.readers.markup.xml_tree import element_text, parse_xml
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

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
    text = "\n\n".join(filter(None, (tree_to_text(body, FB2) for body in root.findall("{*}body"))))
    if not text.strip():
        raise Unreadable("no text: its bodies are empty")
    yield Record(text, title=element_text(root, ".//{*}title-info/{*}book-title"))
