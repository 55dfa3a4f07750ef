"""Adds problems to a folder of examples: conversations among the instructions, and files of questions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.conversations.lines import mix_rows_in, write_rows
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
    counts = {f"questions_{name}": write_rows(directory / f"questions_{name}.jsonl", _of_no_book(rows)) for name, rows in asked.items()}
    kept = {"train": [row for number, row in enumerate(shown) if number % VALIDATED], "val": shown[::VALIDATED]}
    for part, rows in kept.items():
        name = f"instructions_{part}"
        counts[name] = mix_rows_in(directory / f"{name}.jsonl", _of_no_book(rows), f"problems:{seed}")
    return counts


def _of_no_book(rows: Sequence[Row]) -> list[Row]:
    """Return rows that name no book, since problems hold no words of any."""
    return [{**row, "books": []} for row in rows]
