"""Cuts passages out of a text, with as much around them as is asked, and says what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data.decontamination.config import DecontaminateConfig

SEPARATOR = "\n\n"
"""What stands between the pieces of a document that was cut."""
PASSAGE, SHORT = "a passage and what is around it", "a piece too short to keep"
Range = tuple[int, int]


class RemovedText(NamedTuple):
    """A piece that was taken out: where it began (characters, from 0), its text, and why."""

    start: int
    text: str
    why: str


class Cut(NamedTuple):
    """What became of a document: the text that stays, what was taken out, or why it goes as a whole."""

    text: str
    taken: tuple[RemovedText, ...]
    dropped: str


def cut(text: str, passages: Sequence[Range], config: DecontaminateConfig) -> Cut:
    """`text` without `passages` (characters, in order).

    Each passage goes with `window` characters on each side. What lies between are the pieces: if there are more than `max_pieces` the
    document is dropped, else those shorter than `min_characters`, blanks at their ends aside, are. The rest is joined by a blank line.
    """
    if config.action == "drop":
        return Cut("", (), "it holds a passage")
    gone = _widened(text, passages, config.window)
    edges = [0, *(edge for stretch in gone for edge in stretch), len(text)]
    pieces = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if text[start:end].strip()]
    if len(pieces) > config.max_pieces:
        return Cut("", (), f"it falls into {len(pieces)} pieces")
    kept = [(start, end) for start, end in pieces if len(text[start:end].strip()) >= config.min_characters]
    if not kept:
        return Cut("", (), "no piece is long enough to keep")
    taken = [RemovedText(start, text[start:end], PASSAGE) for start, end in gone]
    taken += [RemovedText(start, text[start:end], SHORT) for start, end in pieces if (start, end) not in kept]
    return Cut(SEPARATOR.join(text[start:end].strip() for start, end in kept), tuple(sorted(taken)), "")


def _widened(text: str, passages: Sequence[Range], window: int) -> list[Range]:
    """The passages with their surroundings; those that meet become one."""
    merged: list[Range] = []
    for start, end in passages:
        wide = (max(0, start - window), min(len(text), end + window))
        if merged and wide[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], wide[1]))
        else:
            merged.append(wide)
    return merged
