"""Markdown (CommonMark 0.31 with GitHub's tables) and Jupyter notebooks (nbformat 3 and 4), to text.

Jupyter notebooks (nbformat 3 and 4): the text of Markdown cells and the source of code cells, in order. Outputs are left out.
Markdown (CommonMark 0.31 with GitHub's tables) to text: what a reader of the rendered page sees, with headings, lists and code.

Front matter, which is YAML, is dropped. A link becomes its text, an image its description, HTML its text. One pass of markdown-it-py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import IO, Any

from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, picture_mark, read_decoded
from data.sources.readers.tree import XHTML

FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n((?:[^\n]*\n)*?)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)")
NO_YAML = re.compile(r"[ \t]*(?:#|$)")  # a line that is blank or, in YAML, a comment
KEY = re.compile(r"""["']?[\w.$@/-]+["']?[ \t]*:(?:[ \t]|$)""")
INSIDE_KEY = re.compile(r"[ \t]+\S|-(?:[ \t]|$)")
BLOCKS = frozenset({"fence", "code_block", "html_block", "inline", "hr"})
MOST_NESTED, TOO_DEEP = 100, "text too deep in quotes and lists"  # markdown-it drops what is deeper, and each level is calls of its own


def read_markdown(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, titled by the first top-level heading."""
    left = LeftOut()
    source, encoding = read_decoded(stream, options, left)
    rest = _without_front_matter(source)
    left.add("front matter", source[: len(source) - len(rest)])
    text, title = markdown_text(rest, left, pictures=options.pictures)
    if not text.strip():
        if any(TOO_DEEP in row.reason for row in left.rows()):
            raise Unreadable(
                f"too deep: all of its text is in more than {MOST_NESTED} levels of quotes and lists, and what is deeper can't be read"
            )
        raise Unreadable("empty: nothing but front matter or markup")
    yield Record(text, title=title, encoding=encoding)
    yield from left.rows()


def markdown_text(source: str, left: LeftOut, *, pictures: bool = False) -> tuple[str, str]:
    """Return the text of a page and its title, which may be empty. `pictures`: with a mark where one stands, before its description."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": MOST_NESTED}).enable(["table", "strikethrough"])
    definitions, lines = dict[str, Any](), source.split("\n")
    blocks: list[str] = []
    title = ""
    marks: list[str] = []
    row: list[str] = []
    tight = ""
    for token in parser.parse(source, definitions):
        if token.type in ("blockquote_open", "list_item_open") and token.map and token.level + 1 >= MOST_NESTED:
            left.add(TOO_DEEP, "\n".join(lines[slice(*token.map)]), f"in line {token.map[0] + 1}")
        if token.type == "list_item_open":
            marks.append(f"{token.info}{token.markup} " if token.info else "- ")
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            blocks.append(" | ".join(row) + "\n")
        elif token.type in ("bullet_list_close", "ordered_list_close", "table_close") and blocks and token.level == 0:
            blocks[-1] = blocks[-1].rstrip("\n") + "\n\n"
        elif token.type in ("th_open", "td_open", "heading_open", "paragraph_open"):
            tight = token.type if token.type != "paragraph_open" or not token.hidden else "hidden"
            title = title or ("\0" if token.type == "heading_open" and token.tag == "h1" else "")
        elif token.type in BLOCKS:
            # The first word names a language.
            left.add("words behind a fence", token.info.strip().partition(" ")[2] if token.type == "fence" else "")
            text = _block(token, left, pictures)
            if title == "\0":
                title = text
            if tight in ("th_open", "td_open"):
                row.append(text.replace("\n", " "))
            elif text.strip():
                blocks.append("".join(marks[-1:]) + text + ("\n" if tight == "hidden" else "\n\n"))
            marks, tight = [], ""
    for label, link in definitions.get("references", {}).items():
        if label.startswith("^"):
            # A footnote of one word looks like the definition of a link.
            blocks.append(f"[{label.lower()}]: {link.get('href', '')} {link.get('title', '')}".rstrip() + "\n\n")
        else:
            left.add("definitions of links", f"{label} {link.get('href', '')} {link.get('title', '')}")
    return "".join(blocks).strip("\n"), title.strip("\0")


def _without_front_matter(source: str) -> str:
    found = FRONT_MATTER.match(source)
    lines = [line for line in found[1].splitlines() if not NO_YAML.match(line)] if found else []
    stated = lines and KEY.match(lines[0]) and all(KEY.match(line) or INSIDE_KEY.match(line) for line in lines)
    return source[found.end() :] if found and stated else source


def _block(token: Any, left: LeftOut, pictures: bool) -> str:
    if token.type == "inline":
        return _inline(token.children or [], left, pictures)
    if token.type == "html_block":
        return _without_tags(token.content, left, pictures).strip()
    return "" if token.type == "hr" else str(token.content).rstrip("\n")


def _inline(children: list[Any], left: LeftOut, pictures: bool) -> str:
    parts = []
    for child in children:
        if child.type in ("link_open", "image"):
            left.add("titles of links", child.attrs.get("title"))
        if child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "image":
            described = _inline(child.children or [], left, pictures)
            parts.append(f"{picture_mark(child.attrs.get('src', ''))} {described}".rstrip() if pictures else described)
        elif child.type != "html_inline":
            parts.append(child.content)
        elif child.content.lower().startswith("<br"):
            parts.append("\n")
        elif child.content.startswith("<!--"):
            left.add("comments", child.content)
        elif pictures or "=" in child.content:
            parts.append(_without_tags(child.content, left, pictures))
    return "".join(parts).strip()


def _without_tags(source: str, left: LeftOut, pictures: bool) -> str:
    collector = _TextCollector(left, pictures)
    collector.feed(source)
    collector.close()
    return "".join(collector.texts)


class _TextCollector(HTMLParser):
    """Collects the text between tags, without scripts and styles; `pictures`: with their marks."""

    def __init__(self, left: LeftOut, pictures: bool) -> None:
        super().__init__()
        self._left, self._pictures = left, pictures
        self.texts: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter a script or style, or collect a picture; count the words of attributes."""
        for name, value in attrs:
            self._left.add("words in attributes", value if name in XHTML.attributes else "")
        if tag == "img" and self._pictures:
            self.texts.append(picture_mark(dict(attrs).get("src") or ""))
        self._hidden = tag if tag in ("script", "style") else self._hidden

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or style."""
        self._hidden = "" if tag == self._hidden else self._hidden

    def handle_data(self, data: str) -> None:
        """Collect text."""
        if self._hidden:
            self._left.add(f"{self._hidden} elements", data)
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Count a comment."""
        self._left.add("comments", data)


def read_notebook(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, titled by the first top-level heading."""
    left = LeftOut()
    source, encoding = read_decoded(stream, options, left)
    try:
        notebook = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"damaged ipynb: not JSON: {error}") from error
    cells = _cells(notebook, left)
    title, parts = "", list[str]()
    for cell in cells:
        text = _source(cell)
        if cell.get("cell_type") == "markdown":
            text, heading = markdown_text(text, left)
            title = title or heading
        if text.strip():
            parts.append(text.strip("\n"))
        for kind in ("outputs", "attachments"):
            for output in _listed(cell.get(kind)):
                left.count(f"{kind} of cells", len(json.dumps(output, ensure_ascii=False).encode("utf-8", "replace")))
    if not parts:
        raise Unreadable(f"no text: none of its {len(cells)} cells has any")
    yield Record("\n\n".join(parts), title=title, encoding=encoding)
    yield from left.rows()


def _listed(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _cells(notebook: Any, left: LeftOut) -> list[dict[str, Any]]:
    """Return the cells of a notebook of version 4, or of the sheets of one of version 3."""
    if isinstance(notebook, dict):
        sheets = [notebook, *(sheet for sheet in notebook.get("worksheets") or () if isinstance(sheet, dict))]
        found = [sheet["cells"] for sheet in sheets if isinstance(sheet.get("cells"), list)]
        for other in (cell for cells in found for cell in cells if not isinstance(cell, dict)):
            left.add("cells that are none", str(other))
        if found:
            return [cell for cells in found for cell in cells if isinstance(cell, dict)]
    raise Unreadable("damaged ipynb: it has no cells")


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
