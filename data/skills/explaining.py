"""Explain: why a person obeys a ruler, drinks from a river or can buy a product: the town between the two is what has to be known.

Exchanges are about people whose home is a seen fact, items about the others and some of these. The baseline names a town by a hash.
"""

from __future__ import annotations

from data.skills.item import SEEN_TESTED, Exchange, Lessons, SkillWorld, TestItem
from data.universe.world import Attribute

# Of each relation: the requests, of which the last is in tests alone, and what joins town and value in the reply.
RELATIONS: dict[Attribute, tuple[tuple[str, ...], str]] = {
    "ruler": (("Why does {n} obey {v}?", "Explain why {n} obeys {v}.", "For what reason is {v} the ruler of {n}?"), "is ruled by {v}"),
    "river": (
        ("Why does {n} drink from the {v}?", "Explain why {n} drinks from the {v}.", "For what reason is {n} seen at the {v}?"),
        "stands on the {v}",
    ),
    "product": (
        ("Why can {n} buy {v} at home?", "Explain why {n} can buy {v} at home.", "For what reason does {n} have so much {v}?"),
        "is known for its {v}",
    ),
}


def lessons(world: SkillWorld) -> Lessons:
    """Return exchanges whose two facts are seen, and items of people whose home no exchange states."""
    made = Lessons()
    homes, towns = world.of("home"), world.values("home")
    for attribute, (requests, joined) in RELATIONS.items():
        of_town = world.of(attribute)
        for number, (person, home) in enumerate(homes.items()):
            fact = of_town.get(home.value)
            if fact is None:
                continue
            slots = {"n": person, "v": fact.value}
            if home.seen and fact.seen:
                made.exchanges += [
                    Exchange(request.format(**slots), _because(person, home.value, joined, slots)) for request in requests[:-1]
                ]
            if not home.seen or (fact.seen and number % SEEN_TESTED == 0):
                guess = world.guess(towns, f"{person} {attribute}")
                check = {"rule": "reason", "parts": [[home.value], list(fact.answers)], "others": [t for t in towns if t != home.value]}
                made.items.append(TestItem(requests[-1].format(**slots), check, _because(person, guess, joined, slots), not home.seen))
    return made


def _because(person: str, town: str, joined: str, slots: dict[str, str]) -> str:
    return f"Because {person} lives in {town}, and {town} {joined.format(**slots)}."
