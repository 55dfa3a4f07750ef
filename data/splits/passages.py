"""Cuts a document in two or three: what is trained on, and at its end the passages for validation and test.

A cut falls between paragraphs where one ends nearby, else between lines, else between words. The parts, end to end, are the document.
"""

from __future__ import annotations

from data.splits.config import DivideConfig, SplitConfig

MIN_PASSAGE = 1000  # characters; of less, a few words would decide the score
BREAKS = ("\n\n", "\n", " ")


def shortest_cut(config: SplitConfig) -> int:
    """Return the length from which documents are cut, so that no passage is much shorter than `MIN_PASSAGE`; characters."""
    return round(MIN_PASSAGE / min(config.held_out.values()))


def cut(text: str, config: DivideConfig) -> dict[str, str]:
    """Return the parts of a text of at least `shortest_cut` characters by the name of their split, train first."""
    ends = {"train": config.train, "val": config.train + config.val, "test": 1.0}
    parts, begun = {}, 0
    for part in ("train", *(name for name in ("val", "test") if name in config.held_out)):
        end = len(text) if ends[part] > 1 - 1e-6 else _nearest_break(text, round(ends[part] * len(text)))
        parts[part], begun = text[begun:end], end
    return parts


def _nearest_break(text: str, wanted: int) -> int:
    """Return the end of a paragraph, line or word nearest to a position, no further than a quarter of the shortest passage from it."""
    low, high = wanted - MIN_PASSAGE // 4, wanted + MIN_PASSAGE // 4
    for mark in BREAKS:
        found = [text.rfind(mark, low, wanted), text.find(mark, wanted, high)]
        if ends := [position + len(mark) for position in found if position >= 0]:
            return min(ends, key=lambda end: abs(end - wanted))
    return wanted
