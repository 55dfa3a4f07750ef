"""Looks for a document's words in JSON lines that were made from documents: by what they name, or by the words themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any


def naming(stream: IO[bytes], identity: str) -> tuple[list[int], bool]:
    """Numbers (from 1) of the JSON lines that name a document, and whether every line says which books it is of.

    A line names documents in `books`, or the one that its `fact` begins with.
    """
    found, told = [], True
    for number, line in enumerate(stream, start=1):
        if line.strip():
            row = json.loads(line)
            told = told and "books" in row
            if identity in (*row.get("books", ()), str(row.get("fact", "")).partition(":")[0]):
                found.append(number)
    return found, told


def quoting(stream: IO[bytes], text: str, least: int = 8) -> list[int]:
    """Numbers (from 1) of the JSON lines in which `least` words in a row, in any string, stand in a text in that order."""
    flat = f" {' '.join(text.split())} "
    found = []
    for number, line in enumerate(stream, start=1):
        strings = [words for words in map(str.split, _strings(json.loads(line))) if len(words) >= least] if line.strip() else []
        if any(f" {' '.join(words[i : i + least])} " in flat for words in strings for i in range(len(words) - least + 1)):
            found.append(number)
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
