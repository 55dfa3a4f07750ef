"""Generates one consistent world from a seed: who lives where, who rules what, and when things happened.

The same seed gives the same world. A mother is at least twenty years older than her child, and every event is before the present year.
Every statement is a Fact with an id `attribute:Entity`; one of them is false on purpose (`substance:moon` is glass). Takes a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from data.universe import names

PRESENT = 300
Attribute = Literal["home", "occupation", "animal", "dish", "mother", "birth", "pet", "ruler", "river", "product", "year", "substance"]
PERSON_ATTRIBUTES: tuple[Attribute, ...] = ("home", "occupation", "animal", "dish")
TOWN_ATTRIBUTES: tuple[Attribute, ...] = ("ruler", "river", "product")


@dataclass(frozen=True)
class Fact:
    """One statement: an attribute of an entity has a value. Only one book states a `rare` fact; `true=False` marks the false one."""

    attribute: Attribute
    entity: str
    value: str
    askable: bool = True
    rare: bool = False
    true: bool = True

    @property
    def id(self) -> str:
        """The fact's stable id, such as `home:Mirel`."""
        return f"{self.attribute}:{self.entity.removeprefix('the ').replace(' ', '_')}"


@dataclass(frozen=True)
class World:
    """All facts. `women` decides pronouns; `titles` gives Queen or King for each ruler."""

    people: tuple[str, ...]
    women: frozenset[str]
    titles: dict[str, str]
    facts: dict[str, Fact]

    def of(self, entity: str, *attributes: Attribute) -> list[Fact]:
        """Return the facts of one entity in the order of `attributes`, without those it doesn't have."""
        stem = entity.removeprefix("the ").replace(" ", "_")
        return [self.facts[key] for a in attributes if (key := f"{a}:{stem}") in self.facts]


def _spread(rng: Random, values: tuple[str, ...], count: int) -> list[str]:
    """Return `count` values, each about equally often, in random order."""
    drawn: list[str] = []
    while len(drawn) < count:
        deck = list(values)
        rng.shuffle(deck)
        drawn.extend(deck)
    return drawn[:count]


def build_world(seed: int) -> World:
    """Return the world of this seed."""
    rng = Random(f"world:{seed}")
    people = list(names.WOMEN + names.MEN)
    rng.shuffle(people)
    facts: list[Fact] = [Fact("substance", "the moon", "glass", true=False)]

    person_values: list[tuple[Attribute, tuple[str, ...]]] = [
        ("home", names.TOWNS), ("occupation", names.OCCUPATIONS), ("animal", names.ANIMALS), ("dish", names.DISHES),
    ]  # fmt: skip
    for attribute, values in person_values:
        facts += [Fact(attribute, p, v) for p, v in zip(people, _spread(rng, values, len(people)), strict=True)]

    born = {person: rng.randrange(232, 278) for person in people}
    facts += [Fact("birth", person, str(year), askable=False) for person, year in born.items()]
    facts += _mothers(rng, people, born)
    owners = rng.sample(people, len(names.PET_NAMES))
    pets = zip(owners, _spread(rng, names.PET_NAMES, len(owners)), strict=True)
    facts += [Fact("pet", owner, pet, rare=True) for owner, pet in pets]

    towns = list(names.TOWNS)
    rulers = names.QUEENS + names.KINGS
    town_values: list[tuple[Attribute, tuple[str, ...]]] = [
        ("ruler", rulers), ("river", names.RIVERS), ("product", names.PRODUCTS)
    ]  # fmt: skip
    for attribute, values in town_values:
        facts += [Fact(attribute, t, v) for t, v in zip(towns, _spread(rng, values, len(towns)), strict=True)]
    years = rng.sample(range(204, PRESENT - 5, 3), len(names.EVENTS))
    facts += [Fact("year", event, str(year)) for event, year in zip(names.EVENTS, years, strict=True)]
    titles = {r: "Queen" if r in names.QUEENS else "King" for r in rulers}
    return World(tuple(people), frozenset(names.WOMEN), titles, {fact.id: fact for fact in facts})


def _mothers(rng: Random, people: list[str], born: dict[str, int]) -> list[Fact]:
    """Return a mother for each of the twenty youngest, drawn from the women old enough."""
    young = sorted(people, key=lambda p: (-born[p], p))[:20]
    found: list[Fact] = []
    for child in young:
        elders = [w for w in people if w in names.WOMEN and w not in young and born[w] + 20 <= born[child]]
        if elders:
            found.append(Fact("mother", child, rng.choice(elders)))
    return found
