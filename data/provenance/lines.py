"""Finds a document in JSON lines that were made from documents: by the names in a line, or by the words themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any


def lines_naming(stream: IO[bytes], identity: str) -> tuple[list[int], bool]:
    """Return the numbers (from 1) of the lines that name a document, and whether every line lists its books.

    A line names documents in `books`, or one at the beginning of its `fact`.
    """
    numbers, complete = [], True
    for number, line in enumerate(stream, start=1):
        if line.strip():
            row = json.loads(line)
            complete = complete and "books" in row
            if identity in (*row.get("books", ()), str(row.get("fact", "")).partition(":")[0]):
                numbers.append(number)
    return numbers, complete


def lines_quoting(stream: IO[bytes], text: str, least: int = 8) -> list[int]:
    """Return the numbers (from 1) of the lines in which any string shares `least` consecutive words with a text."""
    flat = f" {' '.join(text.split())} "
    numbers = []
    for number, line in enumerate(stream, start=1):
        strings = [words for words in map(str.split, _strings(json.loads(line))) if len(words) >= least] if line.strip() else []
        if any(f" {' '.join(words[i : i + least])} " in flat for words in strings for i in range(len(words) - least + 1)):
            numbers.append(number)
    return numbers


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
