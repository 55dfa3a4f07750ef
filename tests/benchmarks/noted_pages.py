"""Books set in pages with notes at their feet, to measure what becomes of the notes and of the text around them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

COLUMNS, LINES = 68, 34
MARKS = ("*", "†", "{}", "[{}]", "({})", "{}.")
ENDS = ("{}", "- {} -", "\f", "A HISTORY OF OUR TIMES\n{}", "{} A HISTORY OF OUR TIMES")


class Pages(NamedTuple):
    """What is printed, and the notes in it, each in one line."""

    printed: str
    notes: list[str]


class Left(NamedTuple):
    """What cleaning left: notes whose beginning is there, and words of the text that are lost, those with a mark left on them included."""

    notes: int
    lost: int


def set_in_pages(text: str, said: Sequence[str], random: Random) -> Pages:
    """Set a text in pages, every other one with one to three notes of `said`, all of a book in one style."""
    lines = list(_lines(text))
    style, end = random.choice(MARKS), random.choice(ENDS)
    printed, notes = list[str](), list[str]()
    for number, first in enumerate(range(0, len(lines), LINES), start=1):
        page = lines[first : first + LINES]
        feet = list[str]()
        for turn in range(random.randint(1, 3) if number % 2 else 0):
            mark = style.format(turn + 1) if "{" in style else style * (turn + 1)
            if found := _referring(page, mark.rstrip("."), random, turn):
                page = found
                notes.append(random.choice(said))
                feet += textwrap.wrap(f"{mark} {notes[-1]}", COLUMNS)
        printed += [*page, *feet, end.format(number)]
    return Pages("\n".join(printed), notes)


def left_of(pages: Pages, text: str, cleaned: str) -> Left:
    """Return what cleaning left of notes, and took from the text."""
    there = Counter(cleaned.split())
    flat = " ".join(cleaned.split())
    kept = sum(" ".join(note.split()[:5]) in flat for note in pages.notes)
    return Left(kept, sum((Counter(text.split()) - there).values()))


def _lines(text: str) -> Iterator[str]:
    for paragraph in text.split("\n"):
        yield from textwrap.wrap(paragraph, COLUMNS, break_long_words=False, break_on_hyphens=False)


def _referring(page: list[str], mark: str, random: Random, turn: int) -> list[str] | None:
    """Return the page with a mark behind a word of its first lines, those of later notes further down; None if no word is there."""
    start = 2 + 9 * turn
    lines = [number for number in range(start, min(start + 8, len(page))) if " " in page[number] and page[number].split()[0].isalpha()]
    if not lines:
        return None
    number = random.choice(lines)
    word, rest = page[number].split(" ", 1)
    return [*page[:number], f"{word}{mark} {rest}", *page[number + 1 :]]
