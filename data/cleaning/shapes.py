"""Find what is no prose: the lines of a document in which every space and character counts, which no rule may touch.

Such a block is a fence of Markdown, a program, a formula set apart, or a table. A program needs evidence in most lines of a paragraph, or a
header (`def f():`) above lines that are indented further; then it goes on over blank lines as long as lines are indented or look so, too.
A formula in Unicode is a line of nothing but terms and relations; a table has bars, or columns that begin at one place in three lines.
Verse, lists and wrapped lines of prose differ in where their lines end, which join_lines.sql decides by the width of the page.

Only documents with a line that matches SEED, which a query asks, are read here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import dropwhile

import duckdb
import pyarrow as pa

OPERATORS = "=+\\-*/·×÷±<>≤≥≠≈≡∈∉⊂⊆∪∩∧∨→⇒⇔⇌↔↦∘↑↓−|:"
# What a line has that can belong to a block; written for RE2 and Python alike.
SEED = (
    r"^\s*(?:`{3}|~{3}|\$\$|\\\[|\\begin\{)"
    r"|[{}();,\[\]]\s*$"
    r"|\t\S|[^\s.!?:;\"'”’)] {2,}\S|\|"
    r"|[=≤≥≠≈≡∈⇒⇔⇌→∀∃∑∫√²³₀-₉]|\w\(\S*\)|::|&&|</"
    r"|^\s*(?:def|class|for|while|if|try|with|function|fn|public|SELECT|CREATE|INSERT|WITH|import|from)\b"
    r"|^\s*(?:--\s|#!|#\s?include|//|/\*|@\w)"
    r"|^\s*[\w.-]+:$"
)
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)\s*$")
MATH_OPENS = re.compile(r"^\s*(?:(\$\$)|(\\\[)(?=\s*$|.*\\\]\s*$)|\\begin\{(\w+\*?)\})")
OPENINGS = frozenset("`~$\\")  # the first character of either
LONGEST_FORMULA = 60  # lines
# One of these is evidence of a program.
STRONG = re.compile(
    r"""^\s*(?:
        (?:def|class)\s+\w+.*[:,(]$ | (?:el)?if\b.*:$ | (?:for|while|with|except)\b.*:$ | (?:else|try|finally):$ | @\w[\w.]*(?:\(.*)?$
        | (?:return|raise|yield|assert)\b.*[\w\])'"]$ | (?:from\s+[\w.]+\s+)?import\s+[\w.*, (]+$ | \#!\s*/ | \#\s?include\s*[<"]
        | (?:async\s+)?function\b.*[({]$ | (?:var|let|const|int|float|double|char|bool|auto|final)\s+\w+\s*(?:=.*|;)$
        | (?:public|private|protected|static|void|fn|func|impl|struct|enum|int|namespace)\b.*[{(;]$
        | (?:SELECT|FROM|WHERE|(?:LEFT\ )?JOIN|INSERT\ INTO|CREATE|DELETE\ FROM|UPDATE|UNION|(?:GROUP|ORDER)\ BY|WITH\s+\w+\s+AS
            |HAVING|WINDOW|BEGIN)\b(?:.*[\w),('"*;])?$
        | (?:for|while)\s.*;\s*do$ | (?:do|done|fi|esac|then|end)$ | set\ -\w+$ | (?:echo|grep|sudo|cd|git|pip|npm|make)\s.*(?:"|\$|--?\w)
        | [)}\]]+[;,)]*$ | [(\[{]+$ | "[\w\ -]+"\s*:\s.*[,{\[\]}"\w]$ | </?\w+[^>]*> | (?://|/\*|\*/)
        | [\w.\[\]"'*, ]{1,60}?\s*(?:\+|-|\*|/|\||:)?=\s?[^=\s].* | [\w.]+\(.*\)(?::|;|,)?$
        | .*[\w)\]]\s*\{$ | .*(?:\w[(\[]|\w\s?=).*;$ | .*\)\ AS\ \w+[,)]?$
    )""",
    re.VERBOSE,
)
# Cheap signs, one of which every line that matches STRONG has: what it begins with, ends in, or is.
STRONG_STARTS = frozenset("@#)}](){<[/")
STRONG_WORDS = frozenset((
    "def", "cla", "ret", "rai", "yie", "ass", "imp", "fro", "set", "ech", "gre", "sud", "git", "pip", "npm", "mak",
    "SEL", "FRO", "WHE", "LEF", "JOI", "INS", "CRE", "DEL", "UPD", "UNI", "GRO", "ORD", "WIT", "HAV", "WIN", "BEG",
))  # fmt: skip
STRONG_LINES = frozenset(("do", "done", "fi", "esac", "then", "end"))
# More is needed beside these.
WEAK = re.compile(
    r"""^\s*(?:--\s|\#\s|\*\s|[\w"'-]+:(?:\s\S+)?$|pass$|break$|continue$
        |.*(?:[!=<>]=|->|=>|::|&&|\|\||\w\(|\w\[|\bself\.|\w\.\w+\(|\)\s*\+|%s|\{\w*\}).*
        |.*[(\[\\]$|.*(?:\w[(\[]|=).*,$)""",
    re.VERBOSE,
)
SETTING = re.compile(r"^\s*(?:- )?[\w.\"-]+:(?: .*)?$|^\s*- .*$")
HEADER = re.compile(
    r"^\s*(?:(?:async\s+)?def|class|for|while|if|with|try|function|public|fn|func|static|SELECT|CREATE|INSERT|WITH|BEGIN)\b.*[:{(]$"
    r"|^\s*(?:SELECT|SET|VALUES|FROM|WHERE)$"
)
BRACKETS = (")", "]", "}")
COMMENT = re.compile(r"^\s*(?:--|#|//)\s")
TERM = re.compile(
    rf"^(?:[({{\[|¬∀∃√∑∫∏∂∇±−+-]*(?:\w{{1,3}}|\d[\d.,]*|[A-Z]\w*|(?:[A-Z][a-z]?[₀-₉⁰-⁹²³¹]*|\(|\))+|dt|lim|sin|cos|log|exp)[\w₀-₉⁰-⁹²³¹ᵢⱼₙ'′({OPERATORS}∑∫√¬)\]}}|,.^!]*)$"
)
RELATION = re.compile("[=≤≥≠≈≡∈<>⇒⇔⇌→]")
SEPARATOR = re.compile(r"^\s*\|?[\s:|-]*-{2,}[\s:|-]*\|[\s:|-]*$")
NUMBER_LAST = re.compile(r"([0-9]{1,4})\s*$")


def blocks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first and last index of each block among the lines of a document, in order; the lines between are blank or the block's."""
    found: list[tuple[int, int]] = []
    set_off = list(_set_off(lines))
    taken = {at for first, last in set_off for at in range(first, last + 1)}
    paragraphs = list(_paragraphs(lines, taken))
    kinds = [_kind([lines[at] for at in range(first, last + 1)]) for first, last in paragraphs]
    for number in range(len(paragraphs) - 2, -1, -1):
        if (
            kinds[number] == "maybe"
            and kinds[number + 1] in ("code", "maybe")
            and _near(paragraphs[number], paragraphs[number + 1][0], lines)
        ):
            kinds[number] = "code" if kinds[number + 1] == "code" else "maybe"
    for number, (first, last) in enumerate(paragraphs):
        kind = kinds[number]
        if kind in ("", "maybe") and number and kinds[number - 1] == "code" and _goes_on(lines, paragraphs[number - 1], (first, last)):
            kind = kinds[number] = "code"
        if kind == "code" and found and kinds[number - 1] == "code" and number and _near(paragraphs[number - 1], first, lines):
            found[-1] = (found[-1][0], last)
        elif kind in ("code", "table"):
            found.append((first, last))
        else:
            found += _formulas(lines, first, last)
    return sorted(set_off + found)


def _paragraphs(lines: Sequence[str], taken: set[int]) -> Iterator[tuple[int, int]]:
    first = -1
    for at, line in enumerate(lines):
        inside = bool(line) and not line.isspace() and at not in taken
        if inside and first < 0:
            first = at
        elif not inside and first >= 0:
            yield first, at - 1
            first = -1
    if first >= 0:
        yield first, len(lines) - 1


def _set_off(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield fences and formulas between marks."""
    marked = [at for at, line in enumerate(lines) if line.lstrip()[:1] in OPENINGS]
    rows = [(at, mark) for at in marked if (mark := lines[at].strip()) and not mark.strip(mark[0])]
    unclosed = set[str]()
    done = -1
    for at in marked:
        if at <= done:
            continue
        last = -1
        if fence := FENCE.match(lines[at]):
            last = -1 if fence[1] in unclosed else _fence_end(lines, at, fence, rows, unclosed)
        elif opening := MATH_OPENS.match(lines[at]):
            last = _formula_end(lines, at, opening)
        if last >= 0:
            yield at, last
            done = last


def _fence_end(lines: Sequence[str], first: int, fence: re.Match[str], rows: Sequence[tuple[int, str]], unclosed: set[str]) -> int:
    """Return the last line of a fence, or -1; a row of tildes may be an ornament, so a language or a program must follow.

    `rows`: the lines of one mark alone. A mark that no row closes is added to `unclosed`: none closes a later one, either."""
    mark = fence[1]
    for place in range(bisect_right(rows, first, key=lambda row: row[0]), len(rows)):
        at, row = rows[place]
        if row.startswith(mark):
            inside = [line for line in lines[first + 1 : at] if line.strip()]
            return at if inside and (mark[0] == "`" or fence[2] or _kind(inside) == "code" or any(map(_is_strong, inside))) else -1
    unclosed.add(mark)
    return -1


def _formula_end(lines: Sequence[str], first: int, opening: re.Match[str]) -> int:
    end = "$$" if opening[1] else "\\]" if opening[2] else f"\\end{{{opening[3]}}}"
    rest = lines[first][opening.end() :]
    if end in rest:
        return first
    for at in range(first + 1, min(first + LONGEST_FORMULA, len(lines))):
        if end in lines[at]:
            return at
    return -1


def _kind(lines: Sequence[str]) -> str:
    """Return what a paragraph is: code, table, maybe (code beside code) or neither."""
    if _is_table(lines):
        return "table"
    if sum(line.startswith(" ") for line in lines) >= 2 and all(map(SETTING.match, lines)) and any(line.endswith(":") for line in lines):
        return "code"
    body = list(dropwhile(COMMENT.match, lines))
    strong = sum(map(_is_strong, body))
    if body and not strong:
        return ""
    written = "".join("".join(body).split())
    if len(written) >= 20 and 4 * sum(map(str.isalnum, written)) < len(written):
        return ""  # soup of a scan: a program has names
    if strong == len(body) < 2:
        return "code" if 0 < len(body) < len(lines) else "maybe"
    if (
        len(body) > 1
        and any(map(HEADER.match, body))
        and (_is_strong(body[0]) or HEADER.match(body[0]))
        and all(
            _indent(line) > _indent(body[0]) or line.startswith(BRACKETS) or _is_strong(line) or HEADER.match(line) for line in body[1:]
        )
    ):
        return "code"
    weak = sum(bool(WEAK.match(line)) and not _is_strong(line) for line in body)
    return "code" if strong + weak >= max(2, 0.6 * len(body)) and 3 * strong >= strong + weak else ""


def _is_strong(line: str) -> bool:
    """Return whether a line matches STRONG, which costs ten times as much where nothing is tried before."""
    text = line.strip()
    return (
        text[:1] in STRONG_STARTS
        or text[-1:] in "{;(:"
        or "=" in text
        or text[:3] in STRONG_WORDS
        or (text[-1:] in '),"' and "(" in text)
        or (text[:1] == '"' and ":" in text)
        or text[:2] in ("cd", "*/")
        or text.endswith("do")
        or ") AS " in text
        or text in STRONG_LINES
    ) and STRONG.match(line) is not None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _near(before: tuple[int, int], first: int, lines: Sequence[str]) -> bool:
    return first - before[1] <= 4 and not any(line.strip() for line in lines[before[1] + 1 : first])


def _goes_on(lines: Sequence[str], before: tuple[int, int], paragraph: tuple[int, int]) -> bool:
    """Return whether a paragraph belongs to the program before it: it is near, and indented or has evidence of its own."""
    first, last = paragraph
    own = [lines[at] for at in range(first, last + 1)]
    return _near(before, first, lines) and (all(_indent(line) >= 2 or line.startswith("\t") for line in own) or any(map(_is_strong, own)))


def _is_table(lines: Sequence[str]) -> bool:
    if len(lines) < 2 or not ("|" in lines[0] or "\t" in lines[0] or "  " in lines[0].strip()):
        return False
    if all(line.count("|") >= 2 for line in lines) and (len(lines) >= 3 or any(map(SEPARATOR.match, lines))):
        return any(map(SEPARATOR.match, lines)) or len({line.count("|") for line in lines}) == 1
    if len(lines) < 3 or _leads_to_pages(lines):
        return False
    tabs = {line.strip().count("\t") for line in lines}
    if len(tabs) == 1 and 0 not in tabs:
        return True
    starts = [{match.end() for match in re.finditer(r"[^\s.!?:…·] {2,}(?=\S)", line)} for line in lines]
    return bool(set.intersection(*starts))


def _leads_to_pages(lines: Sequence[str]) -> bool:
    """Return whether lines end in numbers that never fall, as those of a table of contents do."""
    numbers = [int(match[1]) for line in lines if (match := NUMBER_LAST.search(line))]
    return len(numbers) >= 0.6 * len(lines) and numbers == sorted(numbers)


def _formulas(lines: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of lines that are formulas in Unicode."""
    start = -1
    for at in range(first, last + 2):
        if at <= last and is_formula(lines[at]):
            start = at if start < 0 else start
        elif start >= 0:
            yield start, at - 1
            start = -1


def is_formula(line: str) -> bool:
    """Return whether a line is of nothing but terms, a relation among them."""
    if not ("=" in line or "<" in line or ">" in line or (not line.isascii() and RELATION.search(line))):
        return False
    terms = [term for term in line.split() if not (len(term) <= 2 and all(sign in OPERATORS + "∑∫∏√∂∇∀∃¬" for sign in term))]
    words = sum(len(term) > 3 and term.isalpha() for term in terms)
    return bool(terms) and all(map(TERM.match, terms)) and 4 * words <= len(terms)


def find_blocks(connection: duckdb.DuckDBPyConnection) -> bool:
    """Fill table blocks (d, first, last), by numbers of lines, from table lines (d, n, line); return whether there are any."""
    connection.execute("CREATE OR REPLACE TEMP TABLE blocks (d INTEGER, first INTEGER, last INTEGER)")
    seeded = "SELECT DISTINCT d FROM lines WHERE regexp_matches(line, ?)"
    found = connection.execute(f"SELECT d, list(line ORDER BY n) FROM lines SEMI JOIN ({seeded}) USING (d) GROUP BY d", [SEED]).fetchall()
    rows = [(d, first + 1, last + 1) for d, lines in found for first, last in blocks(lines)]
    if rows:
        table = pa.table(
            {name: pa.array(column, pa.int32()) for name, column in zip(("d", "first", "last"), zip(*rows, strict=True), strict=True)}
        )
        connection.register("found_blocks", table)
        connection.execute("INSERT INTO blocks FROM found_blocks ORDER BY d, first")
        connection.unregister("found_blocks")
    return bool(rows)
