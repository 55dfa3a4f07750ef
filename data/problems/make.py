"""Adds problems to a folder of examples: conversations among the instructions, and files of questions of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from data.problems.config import GymProblems, ProgramProblems

Row = dict[str, Any]
VALIDATED = 10  # of so many conversations one is kept for validation


def add_problems(directory: Path, programs: ProgramProblems | None, gym: Sequence[GymProblems], seed: int) -> dict[str, float]:
    """Add what is asked for to the examples in `directory`; return the numbers of lines of the files that it wrote.

    The same inputs give the same bytes. Raise ValueError for problems that can't be made.
    """
    shown: list[Row] = []
    asked: dict[str, list[Row]] = {}
    if programs is not None:
        from data.problems.programs import program_rows

        shown, asked["programs"], asked["program_templates"] = program_rows(programs)
    if gym:
        from data.problems.gym import gym_rows

        for dataset in gym:
            more, questions, held = gym_rows(dataset)
            shown = shown + more
            asked["gym"] = asked.get("gym", []) + questions
            asked["gym_heldout"] = asked.get("gym_heldout", []) + held
    counts = {f"questions_{name}": _write(directory / f"questions_{name}.jsonl", list(map(_line, rows))) for name, rows in asked.items()}
    kept = {"train": [row for number, row in enumerate(shown) if number % VALIDATED], "val": shown[::VALIDATED]}
    for part, rows in kept.items():
        path = directory / f"instructions_{part}.jsonl"
        lines = [*path.read_text(encoding="utf-8").split("\n")[:-1], *map(_line, rows)]
        Random(f"problems:{seed}").shuffle(lines)
        counts[path.stem] = _write(path, lines)
    return counts


def _line(row: Row) -> str:
    """Return a line that names no book, since problems hold no words of any."""
    return json.dumps({**row, "books": []}, ensure_ascii=False)


def _write(path: Path, lines: list[str]) -> float:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return float(len(lines))
