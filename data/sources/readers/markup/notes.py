"""Moves notes out of the sentences that they interrupt, to the end of a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def notes_to_end(body: Any, notes: Iterable[tuple[Any, Any, Any]]) -> None:
    """Replace each note by its mark in brackets, and append mark and words to the end. `notes`: (note, its mark, its words) elements.

    A note without a mark of its own is numbered."""
    moved = []
    for number, (note, mark, words) in enumerate(notes, start=1):
        label = " ".join("".join(mark.itertext()).split()) if mark is not None else str(number)
        if words is None:
            continue
        tail = note.tail or ""
        note.tail = None
        place = note.getprevious()
        parent = note.getparent()
        said = f"[{label}]{tail}"
        if place is not None:
            place.tail = (place.tail or "") + said
        else:
            parent.text = (parent.text or "") + said
        parent.remove(note)
        words.tail = None
        _put_before(words, f"[{label}] ")
        moved.append(words)
    body.extend(moved)


def _put_before(words: Any, label: str) -> None:
    """Put a label before the first words of an element, in the block that they are in."""
    from lxml import etree

    for event, node in etree.iterwalk(words, events=("start", "end")):
        if event == "start" and (node.text or "").strip():
            node.text = label + node.text.lstrip()
            return
        if event == "end" and node is not words and (node.tail or "").strip():
            node.tail = label + node.tail.lstrip()
            return
    words.text = label
