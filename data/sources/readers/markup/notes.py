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
        first = next((node for node in words.iter() if node is not words and (node.text or "").strip()), words)
        first.text = f"[{label}] {(first.text or '').lstrip()}"
        moved.append(words)
    body.extend(moved)
