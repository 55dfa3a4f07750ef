"""Files of conversations and of questions: JSON lines in UTF-8.

A line ends at "\\n" alone: texts may hold what Unicode calls the end of a line. Functions that write return the number of lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

Row = Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the objects of a file."""
    return [json.loads(line) for line in _lines(path)]


def write_rows(path: Path, rows: Iterable[Row]) -> float:
    """Write a file with an object on each line."""
    return _write(path, list(map(_line, rows)))


def mix_rows_in(path: Path, rows: Iterable[Row], seed: str) -> float:
    """Add objects to a file and shuffle its lines by the seed."""
    lines = [*_lines(path), *map(_line, rows)]
    Random(seed).shuffle(lines)
    return _write(path, lines)


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _write(path: Path, lines: list[str]) -> float:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return float(len(lines))
