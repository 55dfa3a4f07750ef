"""Explain: why a person obeys a ruler, drinks from a river or can buy a product: the town between the two is what has to be known.

Exchanges are about people whose home is a seen fact, items about the others and some of these. The baseline names a town by a hash.
"""

from __future__ import annotations

from data.skills.item import SEEN_TESTED, Exchange, Lessons, SkillWorld, TestItem
from data.universe.world import Attribute

# Of each relation what is to be explained, and what joins town and value in the reply.
RELATIONS: dict[Attribute, tuple[str, str]] = {
    "ruler": ("{n} obeys {v}", "is ruled by {v}"),
    "river": ("{n} drinks from the {v}", "stands on the {v}"),
    "product": ("{n} can buy {v} at home", "is known for its {v}"),
}
# The last is in tests alone.
REQUESTS = (
    "Explain why {s}.", "Why is it that {s}?", "Tell me why {s}.", "Do you know why {s}?", "They say that {s}. Why?",
    "Can you explain why {s}?",
)  # fmt: skip


def lessons(world: SkillWorld) -> Lessons:
    """Return exchanges whose two facts are seen, and items of people whose home no exchange states."""
    made = Lessons()
    homes, towns = world.of("home"), world.values("home")
    for attribute, (stated, joined) in RELATIONS.items():
        of_town = world.of(attribute)
        for number, (person, home) in enumerate(homes.items()):
            fact = of_town.get(home.value)
            if fact is None:
                continue
            slots = {"n": person, "v": fact.value}
            requests = [request.format(s=stated.format(**slots)) for request in REQUESTS]
            if home.seen and fact.seen:
                made.exchanges += [
                    Exchange(request.format(**slots), _because(person, home.value, joined, slots)) for request in requests[:-1]
                ]
            if not home.seen or (fact.seen and number % SEEN_TESTED == 0):
                guess = world.guess(towns, f"{person} {attribute}")
                check = {"rule": "reason", "parts": [[home.value], list(fact.answers)], "others": [t for t in towns if t != home.value]}
                made.items.append(TestItem(requests[-1], check, _because(person, guess, joined, slots), not home.seen))
    return made


def _because(person: str, town: str, joined: str, slots: dict[str, str]) -> str:
    return f"Because {person} lives in {town}, and {town} {joined.format(**slots)}."
