"""Cuts passages and their surroundings out of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data.decontamination.config import CutConfig

SEPARATOR = "\n\n"
"""Joins the pieces of a document that was cut."""
PASSAGE, SHORT = "a passage and what is around it", "a piece too short to keep"
Range = tuple[int, int]


class RemovedStretch(NamedTuple):
    """A stretch of text that was removed: its start (in characters, from 0), the text itself, and why."""

    start: int
    text: str
    why: str


class CutText(NamedTuple):
    """The result for a document: the text that stays and what was removed, or the reason to drop it as a whole."""

    text: str
    removed: tuple[RemovedStretch, ...]
    dropped: str


def cut(text: str, passages: Sequence[Range], config: CutConfig) -> CutText:
    """Return `text` without `passages` (start and end in characters, in order).

    Each passage is cut with `window` characters on each side, which leaves pieces. A document in more than `max_pieces` pieces is dropped;
    otherwise pieces shorter than `min_characters`, not counting blanks at their ends, are dropped, and the rest is joined by a blank line.
    """
    if config.action == "drop":
        return CutText("", (), "it holds a passage")
    cuts = _widen(text, passages, config.window)
    edges = [0, *(edge for stretch in cuts for edge in stretch), len(text)]
    pieces = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if text[start:end].strip()]
    if len(pieces) > config.max_pieces:
        return CutText("", (), f"it falls into {len(pieces)} pieces")
    kept = [(start, end) for start, end in pieces if len(text[start:end].strip()) >= config.min_characters]
    if not kept:
        return CutText("", (), "no piece is long enough to keep")
    removed = [RemovedStretch(start, text[start:end], PASSAGE) for start, end in cuts]
    removed += [RemovedStretch(start, text[start:end], SHORT) for start, end in pieces if (start, end) not in kept]
    return CutText(SEPARATOR.join(text[start:end].strip() for start, end in kept), tuple(sorted(removed)), "")


def _widen(text: str, passages: Sequence[Range], window: int) -> list[Range]:
    """Extend passages by `window` on each side, and merge those that meet."""
    merged: list[Range] = []
    for start, end in passages:
        wide = (max(0, start - window), min(len(text), end + window))
        if merged and wide[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], wide[1]))
        else:
            merged.append(wide)
    return merged
