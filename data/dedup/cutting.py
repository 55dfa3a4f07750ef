"""Pieces are cut out of a text so that what stays reads on: with the spaces around them, and the wider of two breaks kept.

A piece grows to the spaces around it, so that an opening quote goes with its word, and takes what stands before the next unit along.
Where a cut meets a paragraph break on either side, the break stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from re import Pattern
from typing import NamedTuple

from data.documents.words import spans

Spans = list[tuple[int, int]]


class Run(NamedTuple):
    """`size` units of a text from the `first`, counted from 1, why they go, and the documents that hold them first."""

    first: int
    size: int
    detail: str = ""
    origins: tuple[str, ...] = ()


class Piece(NamedTuple):
    """What was cut: the place of its first unit, its text, and why it went."""

    place: int
    text: str
    detail: str


def between(text: str, separator: Pattern[str]) -> Spans:
    """Start and end, in characters, of what lies between the separators, empty stretches included."""
    edges = [0, *(edge for match in separator.finditer(text) for edge in match.span()), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def cut(text: str, runs: Iterable[Run], units: Callable[[str], Spans] = spans) -> tuple[str, list[Piece]]:
    """`text` without the runs of units (words, unless told how to find others), and the pieces that went, in their order."""
    places = units(text)
    kept: list[str] = []
    pieces: list[Piece] = []
    space, position = "", 0
    for run in sorted(runs):
        end = _end(text, places, run.first + run.size - 1)
        start = max(_edge(text, places[run.first - 1][0]), position)
        if end <= start:
            continue
        stays, gone = text[position:start], text[start:end]
        if body := stays.rstrip():
            kept += (space, body)
            space = ""
        space += stays[len(body) :]
        ending = gone[len(gone.rstrip()) :]
        if (kept or space) and ending.count("\n") > space.count("\n"):
            space = ending
        pieces.append(Piece(run.first, gone, run.detail))
        position = end
    return "".join(kept) + (space + text[position:] if position < len(text) else ""), pieces


def _edge(text: str, position: int) -> int:
    """The beginning of the space-delimited piece that holds `position`: an opening quote belongs to its word."""
    while position > 0 and not text[position - 1].isspace():
        position -= 1
    return position


def _end(text: str, places: Sequence[tuple[int, int]], following: int) -> int:
    """Where the next unit that isn't blank begins."""
    while following < len(places) and not text[slice(*places[following])].strip():
        following += 1
    return _edge(text, places[following][0]) if following < len(places) else len(text)
