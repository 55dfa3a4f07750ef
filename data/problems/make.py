"""Adds problems to a folder of examples: conversations among the instructions, and files of questions of their own.

Problems of reasoning-gym: questions with what its scorers read, made from a seed. An extra: pip install -e '.[gym]'.

Every problem is one line of JSON, so a data set whose scorer does not know its own answer again after that is refused by name.

Problems that ask for a small function: some solved in the instructions, others of the same templates, and others of templates held out.

The same config gives the same bytes. No problem is in two of the three, and no input is in a question.

Templates of small functions: what is asked, the program that does it, and what it gives.

`what` and `program` have the slots {a} and {b}, numbers that each problem draws. Functions are called f; `of` names what they are given:
x is a number, xs a list of numbers. Of the templates in `HELD_OUT` no problem is ever taught or rewarded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from data.conversations.records import mix_rows_in, write_rows
from data.problems.config import GymProblems, ProgramProblems
from data.shards.gym_scores import PROBED, refusal, score_entry

FUNCTION = "f"
REQUESTS = ("Write a function f of {of} that {what}.", "I need a function f of {of} that {what}.")
ONE, TWO = range(2, 31), range(2, 13)  # the numbers that a template with one slot, or with two, draws from


class Template(NamedTuple):
    """See the module. `gives`: the right value, of the input and both numbers."""

    of: str
    what: str
    program: str
    gives: Callable[[Any, int, int], Any]

    @property
    def choices(self) -> list[tuple[int, int]]:
        """All pairs of numbers that it can ask about; the second is 0 where it has one slot."""
        return [(a, b) for a in TWO for b in TWO] if "{b}" in self.what else [(a, 0) for a in ONE]


TEMPLATES: dict[str, Template] = {
    "times_plus": Template("x", "multiplies x by {a} and adds {b}", "x * {a} + {b}", lambda x, a, b: x * a + b),
    "times_minus": Template("x", "multiplies x by {a} and takes {b} away", "x * {a} - {b}", lambda x, a, b: x * a - b),
    "plus_times": Template("x", "adds {a} to x and multiplies by {b}", "(x + {a}) * {b}", lambda x, a, b: (x + a) * b),
    "square_plus": Template("x", "squares x and adds {a}", "x * x + {a}", lambda x, a, _: x * x + a),
    "remainder": Template("x", "divides x by {a} and gives the remainder", "x % {a}", lambda x, a, _: x % a),
    "larger": Template("x", "gives the larger of x and {a}", "max(x, {a})", lambda x, a, _: max(x, a)),
    "each_plus": Template("xs", "adds {a} to each of xs", "[x + {a} for x in xs]", lambda xs, a, _: [x + a for x in xs]),
    "each_times": Template("xs", "multiplies each of xs by {a}", "[x * {a} for x in xs]", lambda xs, a, _: [x * a for x in xs]),
    "keep_above": Template("xs", "keeps those of xs above {a}", "[x for x in xs if x > {a}]", lambda xs, a, _: [x for x in xs if x > a]),
    "sum_above": Template(
        "xs", "adds up those of xs above {a}", "sum([x for x in xs if x > {a}])", lambda xs, a, _: sum(x for x in xs if x > a)
    ),
    "sum_plus": Template("xs", "adds up xs and adds {a}", "sum(xs) + {a}", lambda xs, a, _: sum(xs) + a),
    "minus_times": Template("x", "takes {a} away from x and multiplies by {b}", "(x - {a}) * {b}", lambda x, a, b: (x - a) * b),
    "each_minus": Template("xs", "takes {a} away from each of xs", "[x - {a} for x in xs]", lambda xs, a, _: [x - a for x in xs]),
    "sum_times": Template("xs", "adds up xs and multiplies by {a}", "sum(xs) * {a}", lambda xs, a, _: sum(xs) * a),
}  # fmt: skip
HELD_OUT = ("minus_times", "each_minus", "sum_times")


def written(template: Template, a: int, b: int) -> str:
    """Return the program that does what the template asks with these numbers."""
    return f"def {FUNCTION}({template.of}):\n    return {template.program.format(a=a, b=b)}"


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


def _too_many(keys: str, wanted: int, there: int) -> str:
    return f"examples.programs: {keys} are {wanted} problems, and the templates have {there}; lower them" if wanted > there else ""


def _in_turn(names: Sequence[str], config: ProgramProblems) -> list[Row]:
    """Return all problems of the templates, one of each after the other as long as they last."""
    left = {name: TEMPLATES[name].choices for name in names}
    for name, choices in left.items():
        Random(f"programs:{config.seed}:{name}").shuffle(choices)
    rows: list[Row] = []
    while any(left.values()):
        rows += [_program_row(name, *choices.pop(), config) for name, choices in left.items() if choices]
    return rows


def _program_row(name: str, a: int, b: int, config: ProgramProblems) -> Row:
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
