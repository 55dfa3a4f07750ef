"""Questions that take several facts, or a calculation with them, and how each is worked out step by step.

A template begins with a person or two events and follows facts of the world: one hop asks for a fact, two hops for a fact about its value.
Only facts that the instructions may state are followed, so whoever knows them all needs nothing but to reason. Of the templates in
`HELD_OUT` no question is ever taught; of the others a stable hash decides which compositions are. A recipe says which templates are never
worked out: rewards alone can carry what the others taught further.

Sums worked out column by column from the right, as on paper, with what is found so far behind each column.

A column whose upper digit is too small borrows ten from the next ("12 - 4 = 8: 8."), one that comes to ten or more carries one on
("4 + 3 + 1 = 8: 81."). Numbers have at most three digits; behind the last column stands the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from data.universe.questions import reply
from data.universe.world import Attribute


@dataclass(frozen=True)
class Worked:
    """A question with its answers, the steps that lead there, and what someone who guesses chooses from."""

    template: str
    id: str
    wordings: tuple[str, ...]  # of the question; the first is the one that evaluation asks
    answers: tuple[str, ...]
    answer: str  # as a sentence
    steps: tuple[str, ...]
    choices: tuple[str, ...]
    hops: int = 0  # facts that it takes, one after the other; 0: it takes a calculation


LARGEST = 999
COLUMNS = (1, 10, 100)


def added(one: int, other: int) -> tuple[str, ...]:
    """Return the steps of one + other, which come to at most LARGEST."""
    steps, carry = [], 0
    for column in COLUMNS:
        upper, lower = one // column % 10, other // column % 10
        total = upper + lower + carry
        steps.append(f"{upper} + {lower}{' + 1' if carry else ''} = {total}: {_so_far(one + other, column)}.")
        carry = total // 10
    return tuple(steps)


def subtracted(one: int, other: int) -> tuple[str, ...]:
    """Return the steps of one - other, which must not be the larger."""
    steps, borrowed = [], 0
    for column in COLUMNS:
        upper, lower = one // column % 10 - borrowed, other // column % 10
        borrowed = int(upper < lower)
        upper += 10 * borrowed
        steps.append(f"{upper} - {lower} = {upper - lower}: {_so_far(one - other, column)}.")
    return tuple(steps)


def _so_far(result: int, column: int) -> str:
    """Return the digits of a result up to a column; behind the last one the result itself."""
    return str(result) if column == COLUMNS[-1] else str(result % (10 * column)).zfill(len(str(column)))


def practised_sums(count: int, seed: int) -> list[Worked]:
    """Return `count` sums of numbers below a thousand, as many additions as subtractions, each once."""
    rng = Random(f"sums:{seed}")
    found: dict[str, Worked] = {}
    while len(found) < count:
        first = rng.randint(1, LARGEST)
        second = rng.randint(1, first)
        plus = len(found) % 2 == 0
        if plus:
            first, steps = first - second, added(first - second, second)
        else:
            steps = subtracted(first, second)
        answer = str(first + second if plus else first - second)
        asked = f"How much is {first} {'plus' if plus else 'minus'} {second}?"
        found[asked] = Worked("sum", f"sum:{asked}", (asked,), (answer,), f"It is {answer}.", steps, ())
    return list(found.values())


class StatedFact(Protocol):
    """A fact of the world."""

    @property
    def attribute(self) -> Attribute: ...
    @property
    def entity(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def answers(self) -> tuple[str, ...]: ...


class Hops(NamedTuple):
    """A question about a chain of facts: the first is about {n}, each next one about the value before it."""

    question: str
    chain: tuple[Attribute, ...]


HOPS = {
    "home_ruler": Hops("Who rules the town where {n} lives?", ("home", "ruler")),
    "home_river": Hops("Which river flows through the home town of {n}?", ("home", "river")),
    "home_product": Hops("What is the home town of {n} known for?", ("home", "product")),
    "mother_home": Hops("Where does the mother of {n} live?", ("mother", "home")),
    "mother_occupation": Hops("What is the occupation of the mother of {n}?", ("mother", "occupation")),
    "mother_animal": Hops("Which animal does the mother of {n} keep?", ("mother", "animal")),
    "mother_home_river": Hops("Which river flows through the home town of the mother of {n}?", ("mother", "home", "river")),
    "mother_home_product": Hops("What is the home town of the mother of {n} known for?", ("mother", "home", "product")),
    "mother_home_ruler": Hops("Who rules the town where the mother of {n} lives?", ("mother", "home", "ruler")),
}
ARITHMETIC = {  # evaluation asks the first wording; the instructions work it out in all, and rewards practise all
    "years_between": (
        "How many years after {early} was {late}?", "How many years passed from {early} to {late}?",
        "How long after {early} was {late}, in years?",
    ),
    "year_after": (
        "Which year came {gap} years after {early}?", "What year was it {gap} years after {early}?",
        "Which year was {gap} years later than {early}?",
    ),
    "year_before": (
        "Which year came {gap} years before {late}?", "What year was it {gap} years before {late}?",
        "Which year was {gap} years earlier than {late}?",
    ),
    "years_before": ("How many years before {late} was {early}?",),
    "years_apart": ("How many years lie between {early} and {late}?",),
}  # fmt: skip
HELD_OUT = frozenset({"mother_home_ruler", "years_apart"})


def hop_questions(facts: Sequence[StatedFact]) -> Iterator[Worked]:
    """Yield the questions about chains of these facts, in the order of the templates and of the facts."""
    known = {(fact.attribute, fact.entity): fact for fact in facts}
    values = _values(facts)
    for name, template in HOPS.items():
        for start in facts:
            if start.attribute == template.chain[0] and (chain := _followed(start, template.chain, known)):
                steps = tuple(reply(fact.attribute, fact.entity, fact.value) for fact in chain)
                yield Worked(
                    template=name,
                    id=f"{name}:{start.entity}",
                    wordings=(template.question.format(n=start.entity),),
                    answers=chain[-1].answers,
                    answer=steps[-1],
                    steps=steps,
                    choices=values[template.chain[-1]],
                    hops=len(template.chain),
                )


def arithmetic_questions(facts: Sequence[StatedFact], by_columns: bool) -> Iterator[Worked]:
    """Yield the questions about two of the dated events among these facts, the earlier one first.

    `by_columns`: calculate digit by digit; otherwise in one step.
    """
    dated = sorted((int(fact.value), fact.entity) for fact in facts if fact.attribute == "year")
    for name, wordings in ARITHMETIC.items():
        for place, (early_year, early) in enumerate(dated):
            for late_year, late in dated[place + 1 :]:
                gap = late_year - early_year
                dates: tuple[str, ...] = (_dated(early, early_year), _dated(late, late_year))
                match name:
                    case "year_after":
                        begun, columns, answer = dates[:1], added(early_year, gap), late_year
                        whole = f"{early_year} + {gap} = {answer}."
                    case "year_before":
                        begun, columns, answer = dates[1:], subtracted(late_year, gap), early_year
                        whole = f"{late_year} - {gap} = {answer}."
                    case _:
                        begun, columns, answer = dates, subtracted(late_year, early_year), gap
                        whole = f"{late_year} - {early_year} = {answer}."
                yield Worked(
                    template=name,
                    id=f"{name}:{_stem(early)}:{_stem(late)}",
                    wordings=tuple(wording.format(early=early, late=late, gap=gap) for wording in wordings),
                    answers=(str(answer),),
                    answer=f"It is {answer}.",
                    steps=(*begun, *(columns if by_columns else (whole,))),
                    choices=(),
                )


def _followed(
    start: StatedFact, chain: Sequence[Attribute], known: Mapping[tuple[Attribute, str], StatedFact]
) -> tuple[StatedFact, ...] | None:
    """Return the facts of a chain; None if one of them is not known."""
    found = [start]
    for attribute in chain[1:]:
        if (fact := known.get((attribute, found[-1].value))) is None:
            return None
        found.append(fact)
    return tuple(found)


def _values(facts: Sequence[StatedFact]) -> dict[Attribute, tuple[str, ...]]:
    """Return the values of each attribute, each once."""
    found: dict[Attribute, set[str]] = {}
    for fact in facts:
        found.setdefault(fact.attribute, set()).add(fact.value)
    return {attribute: tuple(sorted(values)) for attribute, values in found.items()}


def _dated(event: str, year: int) -> str:
    return f"The year of {event} was {year}."


def _stem(event: str) -> str:
    return event.removeprefix("the ").replace(" ", "_")
