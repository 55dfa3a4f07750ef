"""Rows of text in columns that fit the terminal: nothing wraps, and what is cut ends in an ellipsis."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size

GAP, NARROW, PAGE = 2, 40, 100
CUT = "…"


def signed(number: int) -> str:
    """Return a number with its sign, such as `+1,234`, `-5` or `0`."""
    return f"{number:+,}" if number else "0"


def terminal_width() -> int:
    """Return how many characters a line may have: the terminal's width or `COLUMNS`; without either, 100."""
    return max(NARROW, shutil.get_terminal_size((PAGE, 24)).columns)


def fit(text: str, room: int) -> str:
    """Return a text of at most `room` characters of a terminal, cut if it is longer; line ends and tabs become spaces."""
    flat = " ".join(text.split()) if any(mark in text for mark in "\n\t\r") else text
    return flat if cell_len(flat) <= room else set_cell_size(flat, room - 1).rstrip() + CUT


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), room: int | None = None, indent: int = 0) -> list[str]:
    """Return one line for each row, and several for headings of several words that are longer than their column.

    `right`: the columns, counted from 0, that are aligned to the right; their first row is taken for a heading. `room`: the longest line;
    by default the terminal's; `indent`: spaces before each line. Headings of numbers are broken first, then texts are cut, then the words
    of headings, and numbers only where nothing else is left to cut.
    """
    cells = list(rows)
    if not cells:
        return []
    whole = (room or terminal_width()) - indent
    longest = whole - GAP * (len(cells[0]) - 1)
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(cells[0]))]
    if right and sum(widths) > longest:
        cells = [*_broken(cells, right, widths, longest), *cells[1:]]
        widths = [max(cell_len(row[i]) for row in cells) for i in range(len(cells[0]))]
    widths = _shrunk(widths, _least(cells, right), longest)
    lines = (
        (" " * GAP).join(_aligned(cell, width, i in right) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    )
    return [" " * indent + fit(line.rstrip(), whole) for line in lines]


def _broken(cells: Sequence[Sequence[str]], right: frozenset[int], widths: list[int], room: int) -> list[tuple[str, ...]]:
    """Return the headings in as many lines as their words take where the numbers below are narrower; no more than the room asks for."""
    words = [max(map(cell_len, [*cells[0][i].split(), *(row[i] for row in cells[1:])]), default=0) for i in range(len(widths))]
    least = [words[i] if i in right else widths[i] for i in range(len(widths))]
    broken = _shrunk(widths, least, room)
    lines = [wrap(name, max(1, broken[i])) if i in right else [name] for i, name in enumerate(cells[0])]
    most = max(map(len, lines))
    return list(zip(*([*[""] * (most - len(line)), *line] for line in lines), strict=True))


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


def _least(cells: Sequence[Sequence[str]], right: frozenset[int]) -> list[int]:
    """Return what each column may be cut to: numbers stay whole."""
    return [max((cell_len(row[i]) for row in cells[1:]), default=1) if i in right else 6 for i in range(len(cells[0]))]


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


def _aligned(text: str, width: int, to_the_right: bool) -> str:
    cut = fit(text, width)
    blank = " " * max(0, width - cell_len(cut))
    return f"{blank}{cut}" if to_the_right else f"{cut}{blank}"
