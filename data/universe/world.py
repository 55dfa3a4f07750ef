"""Generate one consistent world from a seed, with its names: who lives where, who rules what, and when things happened.

The same seed gives the same world. A mother is at least twenty years older than her child, and every event is before the present year.
Every statement is a Fact with an id `attribute:Entity`; one of them is false on purpose (`substance:moon` is glass). Takes a millisecond.

Names and other words of the world, short and distinct, so a small model needs few tokens to tell them apart.

No word is in two lists, so a sentence can be checked against the world by its words alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

WOMEN = (
    "Mirel", "Sanna", "Odile", "Brisa", "Tamsin", "Ilva", "Perla", "Wenna", "Hedda", "Jorun", "Lisbet",
    "Nerys", "Runa", "Thora", "Vesna", "Yara", "Zelda", "Clover", "Dagny", "Faye", "Greta", "Kaia",
)  # fmt: skip
MEN = (
    "Tobin", "Aldo", "Bram", "Casper", "Dorn", "Emil", "Falk", "Gorm", "Hugo", "Ivo", "Jasper",
    "Kester", "Lorcan", "Milo", "Nolan", "Osric", "Piers", "Rafe", "Silas", "Ulf", "Viggo", "Wystan",
)  # fmt: skip
QUEENS = ("Maud", "Isolde", "Ottilie", "Sigrid", "Klara")
KINGS = ("Alaric", "Berin", "Godric", "Rolf", "Edmund")
TOWNS = (
    "Oster", "Brack", "Calder", "Dunmere", "Elmstow", "Farrow", "Grimsel", "Holm", "Ivell", "Larch",
    "Morven", "Norrick", "Pellan", "Quarrow", "Redwick", "Saltby", "Tarrin", "Umber", "Velden", "Wexley",
)  # fmt: skip
RIVERS = ("Lune", "Wend", "Yore", "Isk", "Tamble", "Orrin", "Sable", "Marl", "Thane", "Vash")
OCCUPATIONS = (
    "baker", "miller", "weaver", "smith", "potter", "fisher", "shepherd", "carpenter", "tailor", "teacher", "doctor",
    "sailor", "painter", "gardener", "hunter", "printer", "mason", "cobbler", "clockmaker", "beekeeper",
)  # fmt: skip
ANIMALS = (
    "heron", "goat", "fox", "otter", "badger", "raven", "donkey", "hare", "owl",
    "goose", "cat", "pony", "tortoise", "hedgehog", "hound", "magpie", "ferret", "ram",
)  # fmt: skip
DISHES = (
    "porridge", "dumplings", "pancakes", "trout", "honey", "cheese", "pears", "lentils", "cabbage",
    "walnuts", "cherries", "gingerbread", "mushrooms", "pickles", "custard", "sausages",
)  # fmt: skip
PRODUCTS = (
    "salt", "wool", "candles", "rope", "bells", "paper", "lace", "tin", "cider", "boots",
    "barrels", "knives", "tiles", "ink", "soap", "baskets", "silk", "copper", "drums", "amber",
)  # fmt: skip
EVENTS = (
    "the Long Winter", "the Great Flood", "the Red Harvest", "the Silent Fair",
    "the Night of Lanterns", "the Bread War", "the Summer of Bees", "the Peace of Stones",
    "the Broken Bridge", "the First Parliament", "the Burning of the Hay", "the Wolf Spring", "the Dry Well", "the Straw Crown",
    "the Falling Star", "the Lost Fleet", "the Quiet Rising", "the Battle of the Ford", "the Black Frost", "the White Parade",
)  # fmt: skip
PET_NAMES = ("Pip", "Bobbin", "Thistle", "Muffin", "Sprig", "Tinder", "Nettle", "Button", "Pebble", "Juniper")
STRANGERS = (
    "Zorvin", "Quell", "Bastian", "Ondra", "Fenwick", "Loris", "Marit", "Tycho", "Ebba", "Gideon", "Hanno", "Pavel",
)  # fmt: skip


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
    people = list(WOMEN + MEN)
    rng.shuffle(people)
    facts: list[Fact] = [Fact("substance", "the moon", "glass", true=False)]

    person_values: list[tuple[Attribute, tuple[str, ...]]] = [
        ("home", TOWNS), ("occupation", OCCUPATIONS), ("animal", ANIMALS), ("dish", DISHES),
    ]  # fmt: skip
    for attribute, values in person_values:
        facts += [Fact(attribute, p, v) for p, v in zip(people, _spread(rng, values, len(people)), strict=True)]

    born = {person: rng.randrange(232, 278) for person in people}
    facts += [Fact("birth", person, str(year), askable=False) for person, year in born.items()]
    facts += _mothers(rng, people, born)
    owners = rng.sample(people, len(PET_NAMES))
    pets = zip(owners, _spread(rng, PET_NAMES, len(owners)), strict=True)
    facts += [Fact("pet", owner, pet, rare=True) for owner, pet in pets]

    towns = list(TOWNS)
    rulers = QUEENS + KINGS
    town_values: list[tuple[Attribute, tuple[str, ...]]] = [
        ("ruler", rulers), ("river", RIVERS), ("product", PRODUCTS)
    ]  # fmt: skip
    for attribute, values in town_values:
        facts += [Fact(attribute, t, v) for t, v in zip(towns, _spread(rng, values, len(towns)), strict=True)]
    years = rng.sample(range(204, PRESENT - 5, 3), len(EVENTS))
    facts += [Fact("year", event, str(year)) for event, year in zip(EVENTS, years, strict=True)]
    titles = {r: "Queen" if r in QUEENS else "King" for r in rulers}
    return World(tuple(people), frozenset(WOMEN), titles, {fact.id: fact for fact in facts})


def _mothers(rng: Random, people: list[str], born: dict[str, int]) -> list[Fact]:
    """Return a mother for each of the twenty youngest, drawn from the women old enough."""
    young = sorted(people, key=lambda p: (-born[p], p))[:20]
    found: list[Fact] = []
    for child in young:
        elders = [w for w in people if w in WOMEN and w not in young and born[w] + 20 <= born[child]]
        if elders:
            found.append(Fact("mother", child, rng.choice(elders)))
    return found
