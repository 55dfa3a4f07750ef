"""What stages took out of documents and wrote in their place, as `removed/<rule>.parquet` and `edits.parquet` tell it.

Guarantees: what several rules did to one line in turn is told as one change with its steps, in the order of the rules, as long as each
took up what the one before it left, or a word of it; a step that doesn't is a change of its own, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

EDITS_FILE = "edits.parquet"
FOLDER = "removed"
_ROUND = re.compile(r"round (\d+)")
_LINE_END = re.compile("\r*\n|[\r\u2028\u2029\x0b]")
_PAGE_END = re.compile("\n?\f\n?")
_FOUND = re.compile(r"(\d+) characters?$")


@dataclass(frozen=True)
class Touch:
    """What a rule did to a piece: `after` is what it wrote, None when it took the piece out."""

    rule: str
    after: str | None
    detail: str = ""


@dataclass(frozen=True)
class Change:
    """What became of a piece of a document: as it was, and what rules made of it, in turn.

    `round` and `place` are as the stage counts them; 0 is the whole document.
    """

    round: int
    place: int
    before: str
    touches: tuple[Touch, ...]

    @property
    def after(self) -> str | None:
        """What is left of it; None when it was taken out."""
        return self.touches[-1].after

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that touched it."""
        return tuple(touch.rule for touch in self.touches)


def is_of_pieces(path: str) -> bool:
    """Whether a stage's file holds pieces of documents."""
    return path == EDITS_FILE or (PurePosixPath(path).parent.name == FOLDER and path.endswith(".parquet"))


def table_of(rule: str) -> str:
    """The file of what a rule took."""
    return f"{FOLDER}/{rule.replace(' ', '_')}.parquet"


def changes(
    edits: Iterable[Mapping[str, Any]], removed: Mapping[str, Iterable[Mapping[str, Any]]], lines: Sequence[str] = ()
) -> list[Change]:
    """The changes to one document by its rows of edits.parquet and, by rule, of the removed tables; by round and place.

    `lines`: of the text as it came to the stage; a word that was replaced is told within its line there.
    """
    touched = [(row["round"], row["place"], row["before"], Touch(row["rule"], row["after"])) for row in edits]
    for rule, rows in removed.items():
        for row in rows:
            told = _ROUND.fullmatch(row["detail"])
            detail = "" if told else row["detail"]
            touched.append((int(told[1]) if told else 1, row["place"], row["text"], Touch(rule, None, detail)))
    found: list[Change] = []
    for number, place, before, touch in sorted(touched, key=lambda one: one[:2]):
        last = found[-1] if found else None
        if last and (last.round, last.place) == (number, place) and (step := _within(last.after, before, touch)):
            found[-1] = Change(number, place, last.before, (*last.touches, step))
            continue
        line = lines[place - 1] if number == 1 and 0 < place <= len(lines) else None
        step = _within(line, before, touch)
        found.append(Change(number, place, line, (step,)) if step and line is not None else Change(number, place, before, (touch,)))
    return found


def _within(line: str | None, before: str, touch: Touch) -> Touch | None:
    """The touch as what it made of a line, if it was of the whole line or of a word in it."""
    if line is None or line == before:
        return None if line is None else touch
    word = re.compile(rf"(?<!\w){re.escape(before)}(?!\w)")
    if touch.after is None or not before.strip() or not word.search(line):
        return None
    return Touch(touch.rule, word.sub(touch.after.replace("\\", r"\\"), line, count=1), touch.detail)


def lines_of(text: str) -> list[str]:
    """The lines of a text as cleaning counts them: line ends of every system, and the end of a page as a line of its own."""
    return _PAGE_END.sub("\n\f\n", _LINE_END.sub("\n", text)).split("\n")


def around(change: Change, lines: list[str]) -> tuple[str, str] | None:
    """The lines before and after a change; None when the piece doesn't stand at its place in `lines`."""
    piece = lines_of(change.before)
    first = change.place - 1
    if change.round != 1 or first < 0 or lines[first : first + len(piece)] != piece:
        places = [at for at, line in enumerate(lines) if line == piece[0] and lines[at : at + len(piece)] == piece]
        if len(places) != 1:
            return None
        (first,) = places
    end = first + len(piece)
    return (lines[first - 1] if first else "", lines[end] if end < len(lines) else "")


def placed(found: Iterable[Change], text: str, room: int) -> dict[Change, str]:
    """Changes at offsets, told by their kind and length only ("e-mail, 17 characters"), with what stands around them in the text `text`
    that came of it. What was found is not among it; a change that isn't where it should be is left out."""
    shift, shown = 0, {}
    for change in sorted(found, key=lambda one: one.place):
        told = _FOUND.search(change.before)
        if told is None or change.after is None:
            continue
        start = change.place - 1 + shift
        end = start + len(change.after)
        if text[start:end] == change.after:
            shown[change] = text[max(start - room, 0) : end + room]
        shift += len(change.after) - int(told[1])
    return shown
