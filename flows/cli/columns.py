"""Rows of text under each other, so wide that nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def signed(number: int) -> str:
    """`+1,234`, `-5`, `0`."""
    return f"{number:+,}" if number else "0"


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """A line a row; `right` numbers the columns, from 0, that end under each other."""
    listed = list(rows)
    widths = [max(len(row[i]) for row in listed) for i in range(len(listed[0]))] if listed else []
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in listed
    ]
