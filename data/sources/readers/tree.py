"""Converts an element tree to plain text; parses XML as untrusted input, and moves notes out of the sentences that they interrupt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.entities import html5
from typing import Any

from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import LeftOut

ENTITY = re.compile(rb"<!ENTITY")


def parse_xml(content: bytes, kind: str) -> Any:
    """Return the parsed root of a document. Raise Unreadable if it is not XML, HostileArchive if it declares entities."""
    from lxml import etree

    if ENTITY.search(content):
        raise HostileArchive(f"hostile {kind}: it declares entities")
    try:
        return etree.fromstring(content, xml_parser())
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged {kind}: {error}") from error


def xml_parser() -> Any:
    """Return an lxml parser that expands no entity, opens nothing else, and refuses trees too large for honest documents."""
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False)


def element_text(root: Any, path: str) -> str:
    """Return the text of the first element at a path on one line, "" if there is none."""
    found = root.find(path)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""


SPACES = re.compile(r"[ \t\r\n\f]+")
AROUND_BREAK = re.compile(r" *\n *")


@dataclass(frozen=True)
class ElementRoles:
    """The role of each element name. `kept`: preformatted; `skipped`: not read, with everything inside.

    `attributes`: names of attributes that hold words, which are not read."""

    blocks: frozenset[str]
    items: frozenset[str]
    rows: frozenset[str]
    cells: frozenset[str]
    breaks: frozenset[str]
    kept: frozenset[str]
    skipped: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()


XHTML = ElementRoles(
    blocks=frozenset(
        {"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
         "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "legend", "main", "nav",
         "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "ul"}
    ),
    items=frozenset({"li"}),
    rows=frozenset({"tr"}),
    cells=frozenset({"td", "th"}),
    breaks=frozenset({"br"}),
    kept=frozenset({"pre"}),
    skipped=frozenset({"head", "script", "style", "template", "title", "svg", "math"}),
    attributes=frozenset({"alt", "title", "summary", "placeholder", "label"}),
)  # fmt: skip


PROGRAMS = frozenset({"script", "style", "title"})  # skipped elements of pages that hold no words, or the title's
IN_HEAD = frozenset({"description", "keywords"})


def tree_to_text(tree: Any, roles: ElementRoles, left: LeftOut | None = None) -> str:
    """Return the text of an lxml tree. `left`: counts the words of comments, of attributes and of the elements that are skipped."""
    from lxml import etree

    page = _TextBuilder(roles)
    waiting = [(tree, False)]
    while waiting:
        node, done = waiting.pop()
        name = _name(node)
        if name is None:
            page.add(_entity(node))
            if left and node.tag is etree.Comment:
                left.add("comments", node.text)
        elif done:
            page.end(name)
        elif name not in roles.skipped:
            page.start(name)
            if left and node.attrib:
                for attribute in roles.attributes:
                    left.add("words in attributes", node.get(attribute))
            page.add(node.text or "")
            waiting.append((node, True))
            waiting.extend((child, False) for child in reversed(node))
            continue
        elif left and name not in PROGRAMS:
            left.add(f"{name} elements", _head_words(node) if name == "head" else " ".join(node.itertext()))
        if node is not tree:
            page.add(node.tail or "")
    return page.text()


def _head_words(head: Any) -> str:
    """Return what a page's head says besides its title: a description, key words, and text that is out of place there."""
    found = [str(node.get("content") or "") for node in head if str(node.get("name") or "").lower() in IN_HEAD]
    found += [" ".join(node.itertext()) for node in head if (name := _name(node)) and name not in PROGRAMS]
    return " ".join(found)


def unwrapped(tree: Any, roles: ElementRoles) -> Any:
    """Unwrap the only block of each cell and list item, so a table's row stays one line; return the tree."""
    for node in list(tree.iter()):
        if _name(node) in roles.cells | roles.items and len(node) == 1 and not (node.text or "").strip():
            (child,) = node
            if _name(child) in roles.blocks and not (child.tail or "").strip() and not any(_name(one) in roles.blocks for one in child):
                node.text, child.tail = child.text, None
                node.remove(child)
                node.extend(list(child))
    return tree


def _name(node: Any) -> str | None:
    """Return an element's name without its namespace; None for comments, processing instructions and entities."""
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else None


def _entity(node: Any) -> str:
    """Return what an entity stands for: a letter by HTML's name, the document's own words, or its name where nobody says."""
    text = str(node.text or "") if getattr(node, "name", None) and str(node).startswith("&") else ""
    if not text or text.strip("&") in html5:
        return html5.get(text.strip("&"), "")
    declared = node.getroottree().docinfo.internalDTD
    return next((str(one.content) for one in declared.iterentities() if one.name == node.name), text) if declared is not None else text


@dataclass
class _TextBuilder:
    roles: ElementRoles
    blocks: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    before: str = ""
    close: bool = False
    kept: int = 0

    def start(self, name: str) -> None:
        if name in self.roles.breaks:
            self.line.append("\n")
        elif name in self.roles.cells:
            if self.close and any(part.strip() for part in self.line):
                self.line.append(" | ")
        elif name in self.roles.items:
            self.flush(tight=True)
            self.before = "- "
        elif name in self.roles.rows:
            self.flush(tight=True)
        elif name in self.roles.blocks and not (self.before and not self.line):
            self.flush()
        self.kept += name in self.roles.kept
        self.close = name in self.roles.cells or (self.close and name not in self.roles.rows)

    def end(self, name: str) -> None:
        if name in self.roles.items or name in self.roles.rows:
            self.flush(tight=True)
            self.before = ""
        elif name in self.roles.blocks:
            self.flush()
        self.kept -= name in self.roles.kept

    def add(self, text: str) -> None:
        if text:
            self.line.append(text if self.kept else SPACES.sub(" ", text))

    def flush(self, tight: bool = False) -> None:
        """End a block. `tight`: the next block follows without a blank line."""
        text = "".join(self.line)
        text = text.strip("\n") if self.kept else AROUND_BREAK.sub("\n", re.sub(" +", " ", text)).strip()
        self.line = []
        if text.strip():
            tight = tight or self.before == "- "
            self.blocks.append(f"{self.before}{text}" + ("\n" if tight else "\n\n"))
            self.before = ""
        elif self.blocks and not tight and not self.blocks[-1].endswith("\n\n"):
            self.blocks[-1] += "\n"

    def text(self) -> str:
        self.flush()
        return "".join(self.blocks).strip("\n")


def notes_to_end(body: Any, notes: Iterable[tuple[Any, Any, Any]]) -> None:
    """Replace each note by its mark in brackets, and append mark and words to the end. `notes`: (note, its mark, its words) elements.

    A note without a mark of its own is numbered."""
    moved = []
    for number, (note, mark, words) in enumerate(notes, start=1):
        label = " ".join("".join(mark.itertext()).split()) if mark is not None else str(number)
        if words is None:
            continue
        tail = note.tail or ""
        note.tail = None
        place = note.getprevious()
        parent = note.getparent()
        said = f"[{label}]{tail}"
        if place is not None:
            place.tail = (place.tail or "") + said
        else:
            parent.text = (parent.text or "") + said
        parent.remove(note)
        words.tail = None
        _put_before(words, f"[{label}] ")
        moved.append(words)
    body.extend(moved)


def _put_before(words: Any, label: str) -> None:
    """Put a label before the first words of an element, in the block that they are in."""
    from lxml import etree

    for event, node in etree.iterwalk(words, events=("start", "end")):
        if event == "start" and (node.text or "").strip():
            node.text = label + node.text.lstrip()
            return
        if event == "end" and node is not words and (node.tail or "").strip():
            node.tail = label + node.tail.lstrip()
            return
    words.text = label
