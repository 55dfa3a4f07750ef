"""HTML: the main text of a page, found by trafilatura (Barbaresi 2021, "Trafilatura: A Web Scraping Library and Command-Line Tool for
Text Discovery and Extraction"), without navigation, notices and comments.

A page without main text, such as a list of links or unparsable markup, is Unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.markup.charset import decode_page
from data.sources.readers.markup.tree import ElementRoles, tree_to_text
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
# trafilatura marks its result up with the element names of TEI.
MAIN_TEXT = ElementRoles(
    blocks=frozenset({"ab", "body", "code", "comments", "head", "list", "p", "quote", "table"}),
    items=frozenset({"item"}),
    rows=frozenset({"row"}),
    cells=frozenset({"cell"}),
    breaks=frozenset({"lb"}),
    kept=frozenset({"code"}),
)


def read_html(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the page's title."""
    from trafilatura import bare_extraction
    from trafilatura.utils import load_html

    source, encoding = decode_page(read_whole(stream, options), options.declared, options.encoding)
    tree = load_html(DECLARATION.sub("", source, count=1).replace("\0", ""))
    if tree is None:
        raise Unreadable("no main text: it can't be parsed as HTML")
    title = _title(tree)
    found = bare_extraction(tree, include_comments=False, include_tables=True, with_metadata=False)
    body = getattr(found, "body", None)
    text = tree_to_text(body, MAIN_TEXT) if body is not None else ""
    if not text.strip():
        raise Unreadable("no main text: trafilatura found none")
    yield Record(text, title=title, encoding=encoding)


def _title(tree: Any) -> str:
    found = tree.find(".//title")
    return " ".join("".join(found.itertext()).split()) if found is not None else ""
