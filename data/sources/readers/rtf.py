r"""RTF (version 1.9.1) to text: a stack of groups, each with its destination and its font's code page.

The body is delivered, with text boxes where they stand and notes in brackets. Every other destination that holds words, such as a header
or an annotation, is counted by its control word; tables of fonts, colours and styles are settings and hold none.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from data.sources.decode import oddity
from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})|\\(?P<symbol>[^A-Za-z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|(?P<rest>.)",
    re.DOTALL,
)
# Code pages by \fcharset, after the specification; 0, 1 and 2 are those of the document or of Windows.
CHARSETS = {
    0: "cp1252", 77: "mac_roman", 78: "cp932", 79: "euc_kr", 80: "gb2312", 81: "big5", 82: "johab", 84: "mac_arabic", 85: "mac_greek",
    86: "mac_turkish", 88: "mac_latin2", 89: "mac_cyrillic", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "cp950",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
ANSI = "cp1252"
# Programs that know no \fcharset tell by the end of a font's name what it is for.
SCRIPTS = {
    b"cyr": "cp1251", b"ce": "cp1250", b"greek": "cp1253", b"tur": "cp1254", b"baltic": "cp1257", b"(hebrew)": "cp1255",
    b"hebrew": "cp1255", b"(arabic)": "cp1256", b"arabic": "cp1256", b"(vietnamese)": "cp1258", b"(thai)": "cp874",
}  # fmt: skip
FONT_OF_SCRIPT = re.compile(rb" (cyr|ce|greek|tur|baltic|\(?hebrew\)?|\(?arabic\)?|\(vietnamese\)|\(thai\)) *;?\s*$", re.IGNORECASE)
PAGES = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
CHARACTERS = {
    "tab": "\t", "emdash": "\u2014", "endash": "\u2013", "emspace": "\u2003", "enspace": "\u2002", "qmspace": "\u2005", "bullet": "\u2022",
    "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c", "rdblquote": "\u201d", "line": "\n", "lbr": "\n", "softline": "\n",
    "~": "\xa0", "-": "\xad", "_": "\u2011", "{": "{", "}": "}", "\\": "\\", "zwj": "\u200d", "zwnj": "\u200c", "ltrmark": "\u200e",
    "rtlmark": "\u200f", "nestrow": "\n", "nestcell": " | ",
}  # fmt: skip
PARAGRAPHS = frozenset({"par", "sect", "page", "column", "\n", "\r"})
BODY, NOTE, BOX = "", "footnote", ("shptxt", "dptxbxtext")
SHAPE, OLDER = "shp", "shprslt"  # a shape, and in it the same once more for programs that don't know shapes
# Tables and properties: what they hold are names of fonts, styles, colours and programs, or data of pictures' forms.
SETTINGS = frozenset(
    {"fonttbl", "colortbl", "stylesheet", "listtable", "listoverridetable", "rsidtbl", "revtbl", "generator", "themedata", "filetbl",
     "colorschememapping", "latentstyles", "datastore", "xmlnstbl", "mmathPr", "pgptbl", "wgrffmtfilter", "bkmkstart", "bkmkend",
     "pgdsctbl", "panose", "falt", "fname", "blipuid", "picprop", "sn", "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc", "aftncn",
     "listpicture", "pnseclvl", "userprops", "defchp", "defpap", "nesttableprops", "upr", "atrfstart", "atrfend"}
)  # fmt: skip
# Destinations without an asterisk whose words are not the body's. All others with an asterisk are so, too, but those that are.
APART = frozenset(
    {"info", "header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf", "pict", "fldinst", "object", "objdata",
     "annotation", "xe", "tc", "txe", "rxe", "nonesttables", "pntxta", "pntxtb", "sv", "background"}
)  # fmt: skip
INSIDE = frozenset({"shpinst", "shppict", "do", "pn"})
LARGEST = 0x10FFFF


@dataclass(frozen=True)
class _Group:
    """The state that holds until a brace closes.

    `words`: where text goes; `skip`: how many characters stand for one of Unicode; `fresh`: nothing but a star was in it yet; `boxes` and
    `older`: how many text boxes waited where its shape began, and where the shape's older form did."""

    words: list[str]
    destination: str = BODY
    font: int | None = None
    skip: int = 1
    in_table: bool = False
    fresh: bool = False
    starred: bool = False
    boxes: int = 0
    older: int = 0
    hidden: bool = False
    deleted: bool = False


def read_rtf(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record. Raise Unreadable where the file is cut off."""
    document = _Document(read_whole(stream, options))
    document.read()
    text = document.text()
    if not text.strip():
        raise Unreadable("no text: the document has none")
    yield Record(text)
    yield from document.left.rows()


class _Document:
    def __init__(self, content: bytes) -> None:
        self._content, self.left = content, LeftOut()
        self._body, self._boxes = list[str](), list[str]()
        self._group = _Group(self._body)
        self._stack: list[_Group] = []
        self._page, self._fonts, self._font, self._default = "cp1252", dict[int, str](), 0, 0
        self._bytes, self._skipping = bytearray(), 0
        self._unseen: dict[str, list[str]] = {"hidden words": [], "deleted words": []}
        self._cells: list[str] = []
        self._row_start = 0
        self._letters: str | None = None

    def read(self) -> None:
        """Read to the end of the outermost group. Raise Unreadable if one inside it isn't closed."""
        position = 0
        while position < len(self._content):
            found = TOKEN.match(self._content, position)
            assert found is not None
            position = found.end()
            if found["word"]:
                position += self._word(found["word"].decode("ascii"), found["number"])
            elif found["hex"]:
                self._literal(bytes.fromhex(found["hex"].decode("ascii")), 1)
            elif found["text"]:
                self._literal(found["text"], len(found["text"]))
            elif found["symbol"]:
                self._symbol(found["symbol"].decode("latin-1"))
            elif found["brace"] == b"{":
                self._flush()
                self._stack.append(self._group)
                self._group = replace(self._group, fresh=True, starred=False)
            elif found["brace"] == b"}":
                self._close()
                if not self._stack:
                    break
        for kind, words in self._unseen.items():
            self.left.add(kind, "".join(words))
        if self._stack:
            open_groups = f"{len(self._stack)} groups are" if len(self._stack) > 1 else "its last group is"
            raise Unreadable(f"cut off: {open_groups} not closed")
        if behind := self._content[position:].strip(b"\0\x1a \r\n"):
            self.left.fault(f"behind the end: {len(behind)} bytes follow the last brace; they were not read")

    def text(self) -> str:
        """Return the body, with a blank line between paragraphs."""
        self._paragraph()
        text = "".join(self._body).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return re.sub(r"\n\s*\n", "\n\n", "\n".join(line.strip() for line in text.split("\n"))).strip("\n")

    def _close(self) -> None:
        self._flush()
        closed, self._group = self._group, self._stack.pop() if self._stack else self._group
        if closed.words is self._group.words or closed.destination == BODY:
            return
        words = "".join(closed.words)
        if closed.destination == NOTE:
            self._group.words.append(f" [{' '.join(words.split())}]")
        elif closed.destination in BOX:
            self._boxes.append(words)
        elif closed.destination == OLDER:
            self._close_older(closed, words)
        elif closed.destination not in SETTINGS:
            self.left.add(closed.destination, words)

    def _close_older(self, closed: _Group, words: str) -> None:
        """End the older form of a shape: its words are kept if the shape itself gave none, and else the same once more."""
        if closed.older == closed.boxes:
            self._group.words.append(words)
            return
        again = " ".join((words, *self._boxes[closed.older :]))
        del self._boxes[closed.older :]
        if "".join(again.split()) not in "".join("".join(self._boxes[closed.boxes :]).split()):
            self.left.add(OLDER, again)

    def _word(self, word: str, number: bytes | None) -> int:
        """Do what a control word says; return how many raw bytes belong to it."""
        self._flush()
        value = int(number) if number is not None else None
        group, self._skipping = self._group, 0
        self._group = replace(group, fresh=False)
        if group.fresh and self._opens(word, group.starred):
            return 0
        if word == "bin":
            self.left.count("binary data", max(0, value or 0))
            return max(0, value or 0)
        if word == "u" and value is not None:
            self._put(chr(value % 0x10000) if value < 0x10000 else chr(min(value, LARGEST)))
            self._skipping = group.skip
        elif word == "uc":
            self._group = replace(self._group, skip=max(0, value or 0))
        elif word in PAGES or word == "ansicpg":
            self._page = _known(PAGES.get(word, f"cp{value}"), self._page)
        elif word == "deff":
            self._default = value or 0
        elif word in ("f", "plain"):
            self._font = self._default if word == "plain" else value or 0
            self._group = replace(self._group, font=self._font)
            if word == "plain":
                self._group = replace(self._group, hidden=False, deleted=False)
        elif word == "v":
            self._group = replace(self._group, hidden=value != 0)
        elif word == "deleted":
            self._group = replace(self._group, deleted=value != 0)
        elif word in ("fcharset", "cpg") and group.destination == "fonttbl":
            page = _known(f"cp{value}" if word == "cpg" else CHARSETS.get(value or 0, ""), "")
            self._fonts[self._font] = page or self._fonts.get(self._font, "")
        elif word in PARAGRAPHS:
            self._paragraph()
        elif word in ("cell", "row", "trowd") and group.words is self._body:
            self._table(word)
        elif word in ("intbl", "pard"):
            self._group = replace(self._group, in_table=word == "intbl")
        elif word in CHARACTERS:
            self._put(CHARACTERS[word])
        return 0

    def _opens(self, word: str, starred: bool) -> bool:
        """Begin a group of another destination, if that is what its first control word says."""
        outer = self._group.destination
        if outer == "upr" and word == "ud":
            # What stands before it is the same words without the letters that only Unicode has.
            around = next((group for group in reversed(self._stack) if group.destination != "upr"), self._group)
            self._group = replace(self._group, destination=around.destination, words=around.words)
        elif outer in SETTINGS or outer in APART:
            return False
        elif word == SHAPE:
            self._group = replace(self._group, boxes=len(self._boxes))
        elif word == OLDER:
            self._group = replace(self._group, destination=OLDER, words=[], older=len(self._boxes))
        elif word in (NOTE, *BOX) or (word not in INSIDE and (word in SETTINGS or word in APART or starred)):
            self._group = replace(self._group, destination=word, words=[])
        else:
            return word in INSIDE
        return True

    def _symbol(self, symbol: str) -> None:
        self._flush()
        if symbol == "*" and self._group.fresh:
            self._group = replace(self._group, starred=True)
        elif self._skipping:
            self._skipping -= 1
        elif symbol in PARAGRAPHS:
            self._paragraph()
        else:
            self._put(CHARACTERS.get(symbol, ""))

    def _literal(self, raw: bytes, size: int) -> None:
        """Add bytes of text, but for those that stand for a character already written."""
        skipped = min(self._skipping, size)
        self._skipping -= skipped
        self._bytes += raw[skipped:]
        if self._bytes:
            self._group = replace(self._group, fresh=False) if self._group.fresh else self._group

    def _flush(self) -> None:
        """Decode what was added since the last command: a letter's bytes may be written in different ways."""
        if self._bytes:
            content = bytes(self._bytes)
            self._bytes.clear()
            if self._group.destination == "fonttbl":
                named = FONT_OF_SCRIPT.search(content)
                if named and self._fonts.get(self._font, ANSI) == ANSI:
                    self._fonts[self._font] = SCRIPTS[named[1].lower()]
            self._put(content.decode(self._page_of_font(), "folio-strays"))

    def _page_of_font(self) -> str:
        page = self._fonts.get(self._default if self._group.font is None else self._group.font) or self._page
        if page != ANSI or self._page == ANSI or self._page in self._fonts.values():
            return page
        # Many programs call every font Windows-1252, whatever page the document says it is in: its letters decide.
        if self._letters is None:
            letters = re.sub(rb"\\'([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode("ascii")), self._content)
            letters = re.sub(rb"\\[a-z]+-?[0-9]* ?|[{}\r\n]", b"", letters)
            self._letters = min((ANSI, self._page), key=lambda name: oddity(letters.decode(name, "folio-strays")))
        return self._letters

    def _put(self, text: str) -> None:
        unseen = "hidden words" if self._group.hidden else "deleted words" if self._group.deleted else ""
        (self._unseen[unseen] if unseen and text.strip() else self._group.words).append(text)

    def _paragraph(self) -> None:
        ends = self._group.words is self._body and not self._group.in_table
        self._put("\n\n" if ends else "\n")
        if ends:
            self._body += [f"{box}\n\n" for box in self._boxes]
            self._boxes, self._row_start = [], len(self._body)

    def _table(self, word: str) -> None:
        """End a cell, end a row, or begin one. The words of a cell stand before its end."""
        if word == "trowd":
            self._row_start = self._row_start if self._cells else len(self._body)
            return
        if word == "cell":
            self._cells.append(" ".join("".join(self._body[self._row_start :]).split()))
            del self._body[self._row_start :]
        elif self._cells:
            self._body.append(" | ".join(self._cells) + "\n\n")
            self._cells, self._row_start = [], len(self._body)


def _known(page: str, otherwise: str) -> str:
    try:
        return codecs.lookup(page).name if page else otherwise
    except LookupError:
        return otherwise
