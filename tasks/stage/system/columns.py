"""Rows of text in columns that fit the terminal, and sentences in lines that do; what is longer goes on below.

A `rich.table.Table` takes 0.4 ms a row and drops columns where numbers leave no room for them, so widths are found here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

GAP, NARROW, PAGE = 2, 40, 100
LEAST = 6  # characters of a column of texts
CUT = "…"
PLAIN = Console(width=PAGE, color_system=None)


def signed(number: int) -> str:
    """Return a number with its sign, such as `+1,234`, `-5` or `0`."""
    return f"{number:+,}" if number else "0"


def terminal_width() -> int:
    """Return how many characters a line may have: the terminal's width or `COLUMNS`; without either, 100."""
    return max(NARROW, shutil.get_terminal_size((PAGE, 24)).columns)


def fit(text: str, room: int) -> str:
    """Return a text of at most `room` characters of a terminal, cut if it is longer; line ends and tabs become spaces."""
    flat = _flat(text)
    return flat if cell_len(flat) <= room else set_cell_size(flat, room - 1).rstrip() + CUT


def wrapped(text: str, first: str = "", rest: str = "  ", room: int | None = None) -> list[str]:
    """Return a sentence in lines that fit the terminal, or `room`. `first` begins the first line, `rest` the others; words stay whole."""
    room = room or terminal_width()
    return wrap(text, room, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), room: int | None = None, indent: int = 0) -> list[str]:
    """Return one line for each row, and several where a cell is longer than its column.

    `right`: the columns, counted from 0, that are aligned to the right; their first row is taken for a heading. `room`: the longest line;
    by default the terminal's; `indent`: spaces before each line. Headings of numbers are broken first, between their words; then texts,
    between theirs; then words. Numbers are cut, and only where nothing else is left to break.
    """
    cells = [[_flat(cell) for cell in row] for row in rows]
    if not cells:
        return []
    whole = (room or terminal_width()) - indent
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    stages = list(_least(cells, right))
    # One space between columns rather than a broken word.
    spare = whole - sum(stages[1])
    gap = 1 if len(widths) - 1 <= spare < GAP * (len(widths) - 1) else GAP
    for least in stages:
        widths = _shrunk(widths, least, whole - gap * (len(widths) - 1))
    parts = [[_folded(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    widths = [max(cell_len(line) for part in column for line in part) for column in zip(*parts, strict=True)]
    lines = []
    for number, row in enumerate(parts):
        most = max(map(len, row))
        # A heading stands right above its numbers.
        row = [[""] * (most - len(part)) + part if right and not number else part + [""] * (most - len(part)) for part in row]
        for line in zip(*row, strict=True):
            joined = (" " * gap).join(_aligned(cell, width, i in right) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
            lines.append(" " * indent + fit(joined.rstrip(), whole))
    return lines


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), room: int | None = None) -> list[str]:
    """Return rows under their header and a rule, in columns if none has to be cut; else each row stacked, a line for each cell, whole."""
    header, *others = rows
    rule = ["-" * max(cell_len(row[i]) for row in rows) for i in range(len(header))]
    whole = room or terminal_width()
    if sum(map(len, rule)) + GAP * (len(header) - 1) <= whole:
        return columns([header, rule, *others], right, whole)
    label = max(cell_len(name) for name in header[1:]) + GAP
    lines: list[str] = []
    for first, *cells in others:
        lines.append(first)
        for name, cell in zip(header[1:], cells, strict=True):
            lines += _stacked(f"  {name.ljust(label)}", cell, whole)
    return lines


def _stacked(head: str, cell: str, room: int) -> list[str]:
    """Return a cell behind its heading, on several lines where it is longer than the room."""
    return wrap(cell, room, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False) or [head.rstrip()]


def _least(cells: Sequence[Sequence[str]], right: frozenset[int]) -> Iterator[list[int]]:
    """Yield what each column may be narrowed to, one after another, as far as the room asks for it."""
    kept: list[list[int]] = []
    for i, (heading, *others) in enumerate(zip(*cells, strict=True)):
        longest = max(map(cell_len, [heading, *others]))
        words = max((cell_len(word) for cell in (heading, *([] if i in right else others)) for word in cell.split()), default=1)
        numbers = max(map(cell_len, others), default=1) if i in right else LEAST
        kept.append([max(words, numbers) if i in right else longest, min(longest, max(words, numbers)), numbers])
    yield from (list(least) for least in zip(*kept, strict=True))


def _shrunk(widths: list[int], least: list[int], room: int) -> list[int]:
    """Return widths that add up to at most `room`, the widest columns cut first, if the least ones allow it."""
    found = list(widths)
    while (over := sum(found) - room) > 0:
        slack = {i: found[i] for i in range(len(found)) if found[i] > least[i]}
        if not slack:
            break
        widest = max(slack, key=lambda i: slack[i])
        next_widest = max((width for i, width in slack.items() if i != widest), default=0)
        found[widest] = max(least[widest], found[widest] - over, min(next_widest - 1, found[widest] - 1))
    return found


def _flat(text: str) -> str:
    """Return a text with its line ends and tabs as spaces."""
    return " ".join(text.split()) if any(mark in text for mark in "\n\t\r") else text


def _folded(text: str, width: int) -> list[str]:
    """Return a cell in lines of at most `width`, broken between words, and within those that are longer."""
    if cell_len(text) <= width:
        return [text]
    return [line.plain.rstrip() for line in Text(text).wrap(PLAIN, max(1, width), overflow="fold")] or [""]


def _aligned(text: str, width: int, to_the_right: bool) -> str:
    blank = " " * max(0, width - cell_len(text))
    return f"{blank}{text}" if to_the_right else f"{text}{blank}"
