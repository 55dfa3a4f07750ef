"""Rows of text in columns wide enough for every cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def signed(number: int) -> str:
    """Return a number with its sign, such as `+1,234`, `-5` or `0`."""
    return f"{number:+,}" if number else "0"


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return one line for each row. `right`: the columns, counted from 0, that are aligned to the right."""
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
