"""Write a program for a cart that brings goods from the town that makes them to another: where they are made has to be known.

The language: `go TOWN`; `load N`, at most five, of what the town makes; `unload`, everything; `repeat N` ... `end`. Exchanges are of goods
whose town is a seen fact, items of the others and some of these. The baseline has the program right and goes to a town by a hash.
"""

from __future__ import annotations

from data.skills.item import SEEN_TESTED, Exchange, Lessons, SkillWorld, TestItem

HOLDS = 5
COUNTS = (2, 3, 4, 5, 10, 15)
REQUESTS = (
    "Write a program that brings {c} {v} to {t}.", "A cart program, please: {c} {v} for {t}.", "Program the cart: bring {c} {v} to {t}.",
    "Write a cart program: {c} {v} to {t}.", "I need a program that takes {c} {v} to {t}.", "Which program takes {c} {v} to {t}?",
)  # fmt: skip


def program(source: str, target: str, count: int) -> str:
    """Return the program that brings `count` of what `source` makes to `target`."""
    rounds, each = (count // HOLDS, HOLDS) if count > HOLDS else (1, count)
    trip = f"go {source}\nload {each}\ngo {target}\nunload"
    return f"repeat {rounds}\n{trip}\nend" if rounds > 1 else trip


def lessons(world: SkillWorld) -> Lessons:
    """Return exchanges and items, each good to several towns in several amounts."""
    made = Lessons()
    products = world.of("product")
    towns = sorted(products)
    makes = {town: fact.value for town, fact in products.items()}
    for source, fact in products.items():
        for number, count in enumerate(COUNTS * (2 if fact.seen else 1)):
            target = world.guess([town for town in towns if makes[town] != fact.value], f"target {source} {number}")
            slots = {"c": count, "v": fact.value, "t": target}
            if fact.seen:
                made.exchanges.append(Exchange(REQUESTS[number % (len(REQUESTS) - 1)].format(**slots), program(source, target, count)))
                if number % (2 * SEEN_TESTED):
                    continue
            guess = world.guess([town for town in towns if town != target], f"source {source} {number}")
            check = {"rule": "cart", "makes": makes, "town": target, "goods": fact.value, "count": count, "holds": HOLDS}
            made.items.append(TestItem(REQUESTS[-1].format(**slots), check, program(guess, target, count), not fact.seen))
    return made
