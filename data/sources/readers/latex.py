r"""LaTeX to text: the document's body without commands, with formulas and listings as they are written.

The grammar is small. A command is a backslash with a name, then arguments in brackets and braces. An argument in braces is text and flows
on, whoever defined the command, unless the command is known to take something else there: a key, a length, a file. What is not text, an
option among it, is counted by its kind. `latex_commands` has what commands take. A definition of the document's own is written out where it
is used. No argument is looked for beyond the file's end or a blank line inside brackets, so a missing brace hides nothing.

Only the file itself is read: what it takes in from others stays out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import IO, NamedTuple

from data.sources.errors import Unreadable
from data.sources.readers.latex_commands import (
    ADDRESS,
    ADDRESS_BRACE,
    BRACE,
    COMMENT,
    CONDITION,
    ENVIRONMENTS,
    LISTINGS,
    OPTION,
    PRINTED,
    SETTING,
    UNPRINTED,
    Own,
    OwnNames,
    argument_ends,
    is_formula,
    spec_of,
    symbol_of,
)
from data.sources.readers.record import BrokenRecord, LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_decoded, tidy_lines

# A mark of the document, or what would hide one: a comment, and text that is printed as it is typed.
MARK = re.compile(
    r"\\[\\%]|%[^\n]*|\\verb\*?(?P<bar>[^\w\s*])[^\n]*?(?P=bar)"
    r"|\\begin\s*\{(?P<kept>verbatim\*?|Verbatim|lstlisting|minted|comment)\}"
    r"|\\(?P<mark>begin|end)\s*\{document\}"
)
CLASS = re.compile(r"^[^\S\n]*\\document(?:class|style)\b", re.MULTILINE)
TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\]\s*)?(?=\{)")
TOKEN = re.compile(
    r"%(?P<comment>[^\n]*)(?:\n[ \t]*(?=[^\s]))?"
    r"|\\\\\*?(?P<line>)(?:[ \t]*\[(?P<space>[^\]\n]{0,40})\])?[ \t]*\n?"
    r"|\\(?P<word>[A-Za-z]+)(?P<star>\*?)(?P<gap>[ \t]*(?:\n(?![ \t]*\n)[ \t]*)?)|\\(?P<symbol>[^A-Za-z])"
    r"|(?P<formula>\$\$?)|(?P<brace>[{}])|(?P<mark>---?|``|''|[!?]`|[~&])|(?P<text>[^\\%${}~&`'!?-]+|.)",
    re.DOTALL,
)
LONGEST_TITLE = 2000
NESTED_COST = 100  # characters of the budget that a definition inside another costs besides its own
DEEPEST = 20  # labels and definitions inside each other; few are, and each is read by calls of its own
COLUMN = re.compile("[ \t]*\x01[ \t]*")
MARKS = {"---": "\u2014", "--": "\u2013", "``": "\u201c", "''": "\u201d", "!`": "\u00a1", "?`": "\u00bf", "~": " ", "&": "\x01"}
ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307", "c": "\u0327", "d": "\u0323",
    "b": "\u0331", "u": "\u0306", "v": "\u030c", "H": "\u030b", "k": "\u0328", "r": "\u030a",
}  # fmt: skip
ACCENTED = re.compile(r"\s*(?:\{\s*\\?([^\W\d_])\s*\}|\\([ij])(?![A-Za-z])\s*|([^\W\d_]))")
HEADINGS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
AROUND = dict.fromkeys(HEADINGS, ("\n\n", "\n\n")) | dict.fromkeys(("footnote", "footnotetext", "endnote", "thanks"), ("[", "]"))
RAW = {"verb", "Verb", "lstinline", "mintinline"}  # commands whose text is printed as it is typed, between two equal signs
BLANK_LINE = re.compile(r"\n[ \t]*\n")
SPACE = re.compile(r"[ \t]*(?:\n(?![ \t]*\n)[ \t]*)?")
NAMED = re.compile(r"\\(?:[A-Za-z]+|.)\s*")
EQUALS = re.compile(r"=?\s*")
TARGET = re.compile(r"\\(?:[A-Za-z]+|.)|\S")
# A length or a number behind a primitive of TeX, such as `to 3cm`, `=0pt plus 1fil` and `"41`.
AMOUNT = re.compile(
    r"(?:to|spread)?\s*(?:`\\?.\s*)?[=<>]?\s*[+-]?(?:[\d.]+|\"[0-9A-F]+)?\s*(?:(?:true\s*)?(?:pt|pc|in|bp|cm|mm|dd|cc|sp|em|ex)\b|\\value\s*\{[^{}\n]*\}|\\[A-Za-z]+)?"
    r"(?:\s*(?:plus|minus)\s*[\d.]+\s*(?:pt|pc|in|bp|cm|mm|em|ex|fil+)\b)*"
)
PARENTHESES = re.compile(r"\([^()\n]{0,20}\)")
CONDITIONAL = re.compile(r"\\(if(?!f(?![A-Za-z]))[A-Za-z]*|else|fi)(?![A-Za-z])[ \t]*")
NAME = re.compile(r"\s*\{\s*([^{}\n]{1,60}?)\s*\}")
CLOSING = {"(": r"\)", "[": r"\]"}
PARAMETER = re.compile(r"#(\d)")
SHORT = re.compile(r"[\w.,:!*+/-]*|[^\]]*=[^\]]*")  # an option that is no words: a place, a number, a key with its value


def read_latex(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, titled by `\\title`, then what is no text, that the document does not end, or what stands behind its end."""
    left = LeftOut()
    source, encoding = read_decoded(stream, options, left)
    source = source.replace("\r\n", "\n").replace("\r", "\n").translate(dict.fromkeys((0, 1)))
    begin, end = _bounds(source)
    if begin is None and CLASS.search(source):
        raise Unreadable(r"damaged tex: it has a class but no \begin{document}, so it is cut off or holds settings alone")
    own = OwnNames(source)
    text = _Body(source[begin:end], own, left).text()
    if not text:
        raise Unreadable("no text: nothing but commands")
    left.add("preamble", source[: begin or 0].removesuffix(r"\begin{document}"))
    yield Record(text, title=_title(source, own), encoding=encoding)
    yield from left.rows()
    if begin is not None and end is None:
        yield BrokenRecord(r"damaged tex: cut off, since \end{document} is missing; what stands before it is kept", "missing end")
    if end is not None and (behind := COMMENT.sub("", source[end:]).partition("}")[2].strip()):
        yield BrokenRecord(rf"behind the end: {len(behind)} characters follow \end{{document}}; LaTeX does not read them", "behind the end")


def _bounds(source: str) -> tuple[int | None, int | None]:
    """Return where the document begins and where its end is marked, None for what is missing."""
    begin: int | None = None
    endless, position = set[str](), 0
    while found := MARK.search(source, position):
        position = found.end()
        if (kept := found["kept"]) and kept not in endless:
            end = _end_of(kept).search(source, position)
            position = end.end() if end else position
            endless |= set() if end else {kept}
        elif found["mark"] == "begin" and begin is None:
            begin = found.end()
        elif found["mark"] == "end" and begin is not None:
            return begin, found.start()
    return begin, None


def _end_of(environment: str) -> re.Pattern[str]:
    return re.compile(rf"\\end\s*\{{\s*{re.escape(environment)}\s*\}}")


def _title(source: str, own: OwnNames) -> str:
    found = TITLE.search(source)
    rest = source[found.end() : found.end() + LONGEST_TITLE] if found else ""
    return " ".join(_Body(rest[: argument_ends(rest, BRACE).get(0, 0)], own, LeftOut()).text().split())


class _Open(NamedTuple):
    """A group that is open: what is written when it closes, what its command takes after it, and whether nobody knows the command."""

    closes: str = ""
    kind: str = OPTION
    takes: str = ""
    unknown: bool = False


class _Body:
    """Walks once through a source, with a stack of open groups."""

    def __init__(self, source: str, own: OwnNames, left: LeftOut, depth: int = 0, line: int = 1) -> None:
        """`depth`: how many labels and definitions it stands in; `line`: the first line's number."""
        self._source, self._own, self._left, self._depth, self._first_line = source, own, left, depth, line
        self._position = 0
        self._out: list[str] = []
        self._stack: list[_Open] = []
        self._next: _Open | None = None
        self._listings: list[str] = []
        self._ends, self._address_ends = argument_ends(source, BRACE), argument_ends(source, ADDRESS_BRACE)
        self._blank, self._absent = -1, dict[str, int]()
        self._counted = (0, 0)  # a position, and how many lines end before it

    def text(self) -> str:
        """Return the text, with lines joined as they are written and listings untouched."""
        while self._position < len(self._source):
            found = TOKEN.match(self._source, self._position)
            assert found is not None
            self._position = found.end()
            self._token(found)
        tidy = COLUMN.sub(" | ", tidy_lines("".join(self._out).split("\n")))
        return re.sub("\0(\\d+)\0", lambda found: self._listings[int(found[1])], tidy).strip()

    def _token(self, found: re.Match[str]) -> None:
        if found["comment"] is not None:
            self._left.add("comments", found["comment"].lstrip("%"))
        elif found["line"] is not None:
            self._out.append("\n")
        elif found["word"]:
            self._command(found["word"], found)
        elif found["symbol"]:
            self._sign(found["symbol"])
        elif found["formula"]:
            self._formula(found.start(), found["formula"])
        elif found["brace"] == "{":
            self._stack.append(self._next or _Open())
            self._next = None
        elif found["brace"] == "}":
            self._close()
        else:
            self._out.append(MARKS.get(found["mark"] or "", found[0]))

    def _close(self) -> None:
        closed = self._stack.pop() if self._stack else _Open()
        self._out.append(closed.closes)
        if closed.takes:
            self._out.append(" " if closed.kind == CONDITION else "")  # which of two texts is printed, nobody knows: both are kept
            self._take(closed.kind, closed.takes)
        elif closed.unknown and self._source.startswith("{", self._position):
            self._out.append(" ")
            self._next = closed

    def _command(self, name: str, found: re.Match[str]) -> None:
        if name in ("begin", "end"):
            self._environment(name, found.start())
        elif name == "iffalse":
            self._never(found.start())
        elif name in RAW and self._raw(name):
            pass
        elif name in ACCENTS and not found["star"] and (letter := ACCENTED.match(self._source, found.end())):
            self._accent(ACCENTS[name], letter)
        elif name in self._own.commands and spec_of(name) is None and self._expand(self._own.commands[name]):
            if not self._own.commands[name].arguments:
                apart = found["gap"] and not self._source.startswith("{}", self._position) and not self._out[-1].endswith(" ")
                self._out.append(" " if apart else "")
        else:
            begins, ends = AROUND.get(name, ("", ""))
            known = (OPTION, "[t") if ends else spec_of(name)
            self._out.append(begins or (symbol_of(name) if known is None or not known[1] or name in PRINTED else ""))
            if known is None:
                # A space before a bracket shows that it is the text's.
                if not found["gap"]:
                    self._option(OPTION)
                self._next = _Open(unknown=True) if self._source.startswith("{", self._position) else None
            else:
                self._take(*known, closes=ends)

    def _never(self, start: int) -> None:
        r"""Pass over what stands behind `\iffalse`, to its `\else` or `\fi`. Where both are missing, nothing is passed over."""
        depth = 0
        for found in CONDITIONAL.finditer(self._source, self._position):
            if found[1] not in ("else", "fi"):
                depth += spec_of(found[1]) is None or "t" not in (spec_of(found[1]) or ("", ""))[1]
            elif not depth:
                self._left.add("words behind \\iffalse", self._source[self._position : found.start()], f"in line {self._line(start)}")
                self._position = found.end()
                return
            else:
                depth -= found[1] == "fi"

    def _expand(self, own: Own) -> bool:
        """Write what a definition stands for; return False where an argument is missing, or definitions never end."""
        start, given = self._position, list[str]()
        while len(given) < own.arguments:
            at = self._skip_space()
            sign = self._source[at : at + 1]
            if own.default is not None and not given:
                end = self._ends.get(at, 0) if sign == "[" else 0
                given.append(self._source[at + 1 : end - 1] if end else own.default)
                self._position = end or self._position
                continue
            found = TARGET.match(self._source, at)
            end = self._ends.get(at, 0) if sign == "{" else found.end() if found and sign != "}" else 0
            if not end:
                self._position = start
                return False
            given.append(self._source[at + 1 : end - 1] if sign == "{" else self._source[at:end])
            self._position = end
        line = self._line(start)
        text = PARAMETER.sub(lambda found: given[int(found[1]) - 1] if 0 < int(found[1]) <= len(given) else "", own.body)
        # One that stands in another may stand for itself, over and over.
        self._own.budget -= len(text) + (NESTED_COST if self._depth else 0)
        if self._depth >= DEEPEST or self._own.budget < 0:
            if text not in self._own.refused:
                self._own.refused.add(text)
                self._left.add("definitions inside each other", text, f"in line {line}")
            self._position = start
            return False
        written = _Body(text, self._own, self._left, self._depth + 1, line).text()
        self._out.append(" " * text[:1].isspace() + written + " " * (written != "" and text[-1:].isspace()))
        return True

    def _take(self, kind: str, takes: str, closes: str = "") -> None:
        """Pass over a command's arguments up to the first that is text, which flows on."""
        for index, sign in enumerate(takes):
            start = self._skip_space()
            if sign == "d" and (found := AMOUNT.match(self._source, start)) and found[0].strip():
                self._left.add(kind, found[0], f"in line {self._line(start)}")
                self._position = found.end()
            elif sign in "[(od":
                if sign == "o" and self._source.startswith("[", start) and (end := self._ends.get(start)):
                    label = self._source[start + 1 : end - 1]
                    deeper = self._depth + 1
                    self._out.append(
                        (_Body(label, self._own, self._left, deeper, self._line(start)).text() if deeper <= DEEPEST else label) + " "
                    )
                    self._position = end
                elif sign == "(" and (found := PARENTHESES.match(self._source, start)):
                    self._position = found.end()
                elif sign == "[":
                    self._option(kind, start)
            elif sign == "t":
                if self._source.startswith("{", start):
                    self._position = start
                    self._next = _Open(closes, kind, takes[index + 1 :])
                else:
                    self._out.append(closes)
                return
            elif not self._pass(kind, sign, start):
                return

    def _pass(self, kind: str, sign: str, start: int) -> bool:
        """Pass over one argument that is no text; return whether there is one."""
        named = NAMED.match(self._source, start)
        if sign in "#c=":
            if sign == "=":
                equals = EQUALS.match(self._source, start)
                named = TARGET.match(self._source, equals.end() if equals else start)
            if named is None:
                return False
            self._position = named.end()
            if sign != "#":
                return True
            start = self._source.find("{", self._position)
            # The parameters of \def stand between its name and its body.
            if start < 0 or start - self._position > 40:
                return False
        elif named and sign == "{":
            self._position = named.end()
            return True
        ends = self._address_ends if kind == ADDRESS else self._ends
        end = ends.get(start, 0) if self._source.startswith("{", start) else 0
        if not end:
            return False
        if sign == "u":
            self._out.append(f"<{self._source[start + 1 : end - 1].strip()}>")
        else:
            self._left.add(kind, self._source[start + 1 : end - 1], f"in line {self._line(start)}")
        self._position = end
        return True

    def _option(self, kind: str, start: int | None = None) -> None:
        start = self._position if start is None else start
        end = self._ends.get(start) if self._source.startswith("[", start) else 0
        if not end:
            return
        words = self._source[start + 1 : end - 1]
        self._left.add(kind, words, f"in line {self._line(start)}")
        self._position = end

    def _skip_space(self) -> int:
        found = SPACE.match(self._source, self._position)
        return found.end() if found else self._position

    def _line(self, position: int) -> int:
        before, lines = self._counted
        self._counted = position, lines + self._source.count("\n", before, position)
        return self._counted[1] + self._first_line

    def _sign(self, sign: str) -> None:
        """Write what a backslash with a sign stands for: an accent, a formula, a space, or the sign itself."""
        letter = ACCENTED.match(self._source, self._position) if sign in ACCENTS else None
        if letter:
            self._accent(ACCENTS[sign], letter)
        elif sign in CLOSING:
            self._formula(self._position - 2, CLOSING[sign])
        elif sign in "-/":
            return
        else:
            self._out.append(" " if sign.isspace() else sign if sign in "%&$#_{}" else symbol_of(sign))

    def _accent(self, mark: str, letter: re.Match[str]) -> None:
        self._position = letter.end()
        base = next(part for part in letter.groups() if part)
        self._out.append(unicodedata.normalize("NFC", base + mark))

    def _formula(self, start: int, closing: str) -> None:
        """Write a formula as it stands. A sign that nothing closes before a blank line is a sign."""
        if self._blank < self._position:
            blank = BLANK_LINE.search(self._source, self._position)
            self._blank = blank.start() if blank else len(self._source)
        end = self._find(closing, self._blank)
        while end > 0 and closing[0] == "$" and self._source[end - 1] == "\\":
            end = self._source.find(closing, end + 1, self._blank)
        if end < 0:
            self._out.append(self._source[start : self._position])
            return
        self._position = end + len(closing)
        self._out.append(self._source[start : self._position])

    def _find(self, sign: str, limit: int) -> int:
        """Return where a sign comes next before `limit`, -1 for nowhere. What wasn't there isn't looked for again."""
        if self._absent.get(sign, -1) >= limit:
            return -1
        end = self._source.find(sign, self._position, limit)
        if end < 0:
            self._absent[sign] = limit
        return end

    def _raw(self, name: str) -> bool:
        """Write what \\verb and its like hold; return False if their second sign is missing."""
        start = self._position
        if name == "mintinline":
            self._pass(SETTING, "{", start)
        if name != "verb":
            self._option(OPTION)
        sign = self._source[self._position : self._position + 1]
        line = self._source.find("\n", self._position)
        closing, limit = "}" if sign == "{" else sign, line if line >= 0 else len(self._source)
        end = self._source.find(closing, self._position + 1, limit) if sign.strip() else -1
        if end < 0:
            self._position = start
            return False
        self._out.append(self._source[self._position + 1 : end])
        self._position = end + 1
        return True

    def _environment(self, side: str, start: int) -> None:
        named = NAME.match(self._source, self._position)
        if named is None:
            return
        self._position = named.end()
        name = named[1]
        plain = name.rstrip("*")
        listing, formula = plain in LISTINGS or plain in self._own.listings, is_formula(name)
        raw = side == "begin" and (listing or formula or plain in UNPRINTED)
        raw = raw and self._absent.get(f"end {name}", -1) < 0
        end = _end_of(name).search(self._source, self._position) if raw else None
        if raw and end is None:
            self._absent[f"end {name}"] = len(self._source)
        if end and listing:
            self._take(OPTION, LISTINGS.get(plain, "["))
            self._out.append(f"\n\n\0{len(self._listings)}\0\n\n")
            self._listings.append(self._source[self._position : end.start()].strip("\n").rstrip())
            self._position = end.end()
        elif end and plain in UNPRINTED:
            self._left.add(UNPRINTED[plain], self._source[self._position : end.start()], f"in line {self._line(start)}")
            self._position = end.end()
        elif end:
            self._out.append(self._source[start : end.end()])
            self._position = end.end()
        else:
            self._out.append("\n\n")
            if side == "begin":
                self._begin(plain, name != plain)
            elif plain in self._own.environments and self._own.environments[plain].end.strip():
                self._expand(Own(0, None, self._own.environments[plain].end))
                self._out.append("\n\n")

    def _begin(self, name: str, starred: bool) -> None:
        if name in ENVIRONMENTS:
            self._take(SETTING, ("{" if starred and name == "tabular" else "") + ENVIRONMENTS[name])
            return
        if name in self._own.environments and self._expand(self._own.environments[name]):
            return
        end = self._ends.get(self._position) if self._source.startswith("[", self._position) else 0
        if end and SHORT.fullmatch(self._source[self._position + 1 : end - 1]):
            self._option(OPTION)
        if self._source.startswith("{", self._position):
            self._next = _Open("\n", unknown=True)
