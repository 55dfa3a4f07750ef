"""Adds problems to a folder of examples: conversations among the instructions, and files of questions of their own.

Problems of reasoning-gym: questions with what its scorers read, made from a seed. An extra: pip install -e '.[gym]'.

Every problem is one line of JSON, so a data set whose scorer does not know its own answer again after that is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.conversations.records import mix_rows_in, write_rows
from data.problems.config import GymProblems, ProgramProblems
from data.shards.gym_scores import PROBED, refusal, score_entry

Row = dict[str, Any]
CANDIDATES = 4  # most problems that are made for each one that is wanted, since long ones are left out


def gym_rows(config: GymProblems) -> tuple[list[Row], list[Row], list[Row]]:
    """Return conversations that state answers, questions, and held-out questions. Raise ValueError for a data set that can't give them."""
    wanted = config.taught + config.asked + config.heldout
    rows = _rows(config, wanted)
    if len(rows) < wanted:
        raise ValueError(
            f"examples.gym: of {CANDIDATES * wanted} problems of dataset={config.dataset} {len(rows)} have answers and different questions "
            f"of at most most_characters={config.most_characters}, and {wanted} are wanted; raise that, or lower taught, asked and heldout"
        )
    if why := refusal(config.dataset, [row["entry"] for row in rows[:PROBED]]):
        raise ValueError(f"examples.gym: {why}")
    shown = [{"messages": _turns(row), "topic": f"gym {config.dataset}"} for row in rows[: config.taught]]
    return shown, rows[config.taught : config.taught + config.asked], rows[config.taught + config.asked :]


def gym_problem(config: GymProblems) -> str:
    """Return why a data set can't be used, tried on some of its problems; empty if it can."""
    try:
        return refusal(config.dataset, [row["entry"] for row in _rows(config, PROBED)])
    except ValueError as error:
        return str(error)


def _rows(config: GymProblems, wanted: int) -> list[Row]:
    """Return so many problems, or as many as there are among some times the number."""
    import reasoning_gym

    try:
        made = reasoning_gym.create_dataset(config.dataset, seed=config.seed, size=CANDIDATES * wanted, **config.settings)
    except (ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"examples.gym: reasoning-gym can't make dataset={config.dataset} with {config.settings}: {error}") from error
    rows: list[Row] = []
    seen: set[str] = set()
    for place in range(CANDIDATES * wanted):
        row = _row(config.dataset, place, made[place])
        if row is not None and row["question"] not in seen and len(row["question"]) <= config.most_characters:
            if score_entry(row["answers"][0], row["entry"]) < 1.0:
                raise ValueError(
                    f"examples.gym: the scorer of dataset={config.dataset} does not know its own answers again once they were written as "
                    "JSON; choose another data set"
                )
            seen.add(row["question"])
            rows.append(row)
        if len(rows) == wanted:
            break
    return rows


def _turns(row: Row) -> list[Row]:
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answers"][0]}]


def _row(dataset: str, place: int, entry: Row) -> Row | None:
    """Return a problem as a line of questions; None for one without a single answer."""
    answer = entry.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        return None
    metadata = json.loads(json.dumps(entry.get("metadata", {}), default=str))
    kept = {"question": entry["question"], "answer": answer, "metadata": {**metadata, "source_dataset": dataset}}
    return {"question": entry["question"].strip(), "answers": [answer], "choices": [], "fact": f"gym:{dataset}:{place}", "entry": kept}


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
