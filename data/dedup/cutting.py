"""Cuts repeated units out of a text and keeps the rest readable.

A cut includes everything up to the next unit that stays, and extends to the surrounding spaces, so an opening quote is cut with its
word. Where there is a paragraph break on either side of a cut, the wider of the two breaks is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from re import Pattern
from typing import NamedTuple

from data.documents.words import spans

Spans = list[tuple[int, int]]


class Repeat(NamedTuple):
    """`size` units of a text to cut, from the `first` (counted from 1), and why; `origins` are the documents that hold them first."""

    first: int
    size: int
    detail: str = ""
    origins: tuple[str, ...] = ()


class RemovedText(NamedTuple):
    """A text that was cut: the position of its first unit (from 1), the text itself, and why."""

    place: int
    text: str
    detail: str


def split_spans(text: str, separator: Pattern[str]) -> Spans:
    """Return start and end, in characters, of each stretch between separators, empty ones included."""
    edges = [0, *(edge for match in separator.finditer(text) for edge in match.span()), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def cut(text: str, repeats: Iterable[Repeat], units: Callable[[str], Spans] = spans) -> tuple[str, list[RemovedText]]:
    """Return `text` without the repeats, and what was removed, in order. `units` finds the units that repeats count, by default words."""
    unit_spans = units(text)
    kept: list[str] = []
    removed: list[RemovedText] = []
    space, position = "", 0
    for repeat in sorted(repeats):
        end = _cut_end(text, unit_spans, repeat.first + repeat.size - 1)
        start = max(_word_start(text, unit_spans[repeat.first - 1][0]), position)
        if end <= start:
            continue
        before, gone = text[position:start], text[start:end]
        if body := before.rstrip():
            kept += (space, body)
            space = ""
        space += before[len(body) :]
        ending = gone[len(gone.rstrip()) :]
        if (kept or space) and ending.count("\n") > space.count("\n"):
            space = ending
        removed.append(RemovedText(repeat.first, gone, repeat.detail))
        position = end
    return "".join(kept) + (space + text[position:] if position < len(text) else ""), removed


def _word_start(text: str, position: int) -> int:
    """Return where the run of non-space characters around `position` begins: an opening quote belongs to its word."""
    while position > 0 and not text[position - 1].isspace():
        position -= 1
    return position


def _cut_end(text: str, unit_spans: Sequence[tuple[int, int]], following: int) -> int:
    """Return where the next unit that isn't blank begins."""
    while following < len(unit_spans) and not text[slice(*unit_spans[following])].strip():
        following += 1
    return _word_start(text, unit_spans[following][0]) if following < len(unit_spans) else len(text)
