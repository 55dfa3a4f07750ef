"""Problems that ask for a small function: some solved in the instructions, others of the same templates, and others of templates held out.

The same config gives the same bytes. No problem is in two of the three, and no input is in a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from data.problems.config import ProgramProblems
from data.problems.templates import FUNCTION, HELD_OUT, REQUESTS, TEMPLATES, Template, written

Row = dict[str, Any]
DRAWS = 100  # most times that inputs are drawn until their values differ enough


def program_rows(config: ProgramProblems) -> tuple[list[Row], list[Row], list[Row]]:
    """Return conversations, questions and questions of held-out templates. Raise ValueError if the templates allow fewer."""
    taught = _in_turn([name for name in TEMPLATES if name not in HELD_OUT], config)
    held = _in_turn(HELD_OUT, config)
    if problem := _too_many("taught and asked", config.taught + config.asked, len(taught)) or _too_many(
        "heldout", config.heldout, len(held)
    ):
        raise ValueError(problem)
    shown = [{"messages": _turns(row), "topic": "programs"} for row in taught[: config.taught]]
    return shown, taught[config.taught : config.taught + config.asked], held[: config.heldout]


def _turns(row: Row) -> list[Row]:
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answers"][0]}]


def _too_many(keys: str, wanted: int, there: int) -> str:
    return f"examples.programs: {keys} are {wanted} problems, and the templates have {there}; lower them" if wanted > there else ""


def _in_turn(names: Sequence[str], config: ProgramProblems) -> list[Row]:
    """Return all problems of the templates, one of each after the other as long as they last."""
    left = {name: TEMPLATES[name].choices for name in names}
    for name, choices in left.items():
        Random(f"programs:{config.seed}:{name}").shuffle(choices)
    rows: list[Row] = []
    while any(left.values()):
        rows += [_row(name, *choices.pop(), config) for name, choices in left.items() if choices]
    return rows


def _row(name: str, a: int, b: int, config: ProgramProblems) -> Row:
    template, identity = TEMPLATES[name], f"{name}:{a}:{b}"
    rng = Random(f"program:{config.seed}:{identity}")
    request = rng.choice(REQUESTS).format(of=template.of, what=template.what.format(a=a, b=b))
    trials = _trials(template, a, b, rng, config.trials)
    return {
        "question": request, "answers": [written(template, a, b)], "choices": [], "fact": identity, "function": FUNCTION, "trials": trials,
    }  # fmt: skip


def _trials(template: Template, a: int, b: int, rng: Random, count: int) -> list[Row]:
    """Return inputs with the right value of each; at least half of the values differ, so that one value for all is worth little."""
    for _ in range(DRAWS):
        inputs = [_input(template.of, rng) for _ in range(count)]
        values = [template.gives(given, a, b) for given in inputs]
        if 2 * len(set(map(str, values))) >= count and len(set(map(str, inputs))) == count:
            break
    return [{"inputs": [given], "output": value} for given, value in zip(inputs, values, strict=True)]


def _input(of: str, rng: Random) -> Any:
    return rng.randint(-9, 60) if of == "x" else [rng.randint(-9, 60) for _ in range(rng.randint(1, 5))]
