"""Turns facts into sentences and sentences into paragraphs.

A fact's templates are dealt like cards: each is used once before any comes again. Every statement of a fact is counted for its book. No
sentence is a question, so the books contain none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random

from data.universe.fact_templates import FOLLOWING, NAMED, PAIRS
from data.universe.scenery import ABOUT_PERSON, ABOUT_TOWN, GENERAL, scenery
from data.universe.world import Attribute, Fact, World

SPEAKERS = ("the old woman", "the boy", "the ferryman", "my aunt", "the stranger", "the girl", "the innkeeper", "our guide")
OPENINGS = (
    "Tell me about {n}", "Speak to me of {n}", "I know little about {n}", "You must have heard of {n}",
    "They were talking about {n} again", "I forget everything about {n}",
)  # fmt: skip
INTERJECTIONS = ("That is easy.", "Well then.", "Listen.", "Gladly.", "I will tell you.", "With pleasure.")
ON_PERSON = (
    "Next I must speak of {n}.", "There is more to say about {n}.", "In the same week we met {n}.", "Now a word on {n}.",
    "{n} was there too.", "Then {n} came in.", "The next to arrive was {n}.", "I have not forgotten {n}.",
    "Many stories are told about {n}.", "Somebody spoke the name of {n}.",
)  # fmt: skip
ON_TOWN = (
    "Then we came to {n}.", "The map shows {n}.", "Now to {n}.", "After two days we saw {n}.", "The road goes on to {n}.",
    "I remember {n} well.", "Few towns are like {n}.", "They had a picture of {n} on the wall.",
)  # fmt: skip
CLOSINGS = ("So spoke {who}.", "That was the answer of {who}.", "It was {who} who knew it.", "Thus {who} replied.")
ROLL_CALLS: dict[Attribute, tuple[str, ...]] = {
    "home": ("They talked about where everyone lives.", "The list of houses was read aloud."),
    "occupation": ("They talked about work.", "Somebody began to name the trades."),
    "animal": ("They talked about animals.", "Then the talk turned to fur and feathers."),
    "dish": ("They talked about food.", "When they were hungry they spoke of food."),
}
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")


class Storyteller:
    """Writes prose about one world. `mentions`: {fact id: {book path: count}}; `book`: the path of the book being written."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.book = ""
        self.mentions: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._decks: dict[tuple[object, ...], list[str]] = {}

    def _deal(self, patterns: tuple[str, ...], *owner: object) -> str:
        deck = self._decks.setdefault(owner, [])
        if not deck:
            deck.extend(self.rng.sample(patterns, len(patterns)))
        return deck.pop()

    def _pronouns(self, name: str) -> dict[str, str]:
        if name in self.world.women:
            return {"s": "she", "S": "She", "p": "her", "P": "Her", "o": "her", "child": "daughter"}
        return {"s": "he", "S": "He", "p": "his", "P": "His", "o": "him", "child": "son"}

    def _fill(self, pattern: str, fact: Fact, second: Fact | None = None) -> str:
        for stated in (fact, second):
            if stated is not None:
                self.mentions[stated.id][self.book] += 1
        ruler = next((f.value for f in (fact, second) if f is not None and f.attribute == "ruler"), "")
        animal = self.world.of(fact.entity, "animal")
        slots = self._pronouns(fact.entity) | {
            "n": fact.entity, "N": fact.entity[0].upper() + fact.entity[1:], "v": fact.value,
            "w": second.value if second else "", "t": self.world.titles.get(ruler, ""),
            "animal": animal[0].value if animal else "",
        }  # fmt: skip
        return _BEFORE_VOWEL.sub(r"\1n ", pattern.format(**slots))

    def tell(self, fact: Fact) -> str:
        """Return a sentence that states the fact and names its entity."""
        return self._fill(self._deal(NAMED[fact.attribute], fact.id), fact)

    def follow(self, fact: Fact) -> str:
        """Return a sentence that states the fact about the entity of the sentence before."""
        return self._fill(self._deal(FOLLOWING[fact.attribute], fact.id, "following"), fact)

    def portrait(self, entity: str, facts: list[Fact]) -> str:
        """Return a paragraph on one person or town: each fact once, with scenery between."""
        person = entity in self.world.people
        rest = self.rng.sample(facts, len(facts))
        lead = self.rng.choice(ON_PERSON if person else ON_TOWN).format(n=entity)
        sentences = [lead] if self.rng.random() < 0.5 else []
        while rest:
            pair = self._pair(rest)
            if pair is not None and self.rng.random() < 0.3:
                rest = [f for f in rest if f not in pair]
                key = (pair[0].attribute, pair[1].attribute)
                sentences.append(self._fill(self._deal(PAIRS[key], entity, key), *pair))
            elif sentences and rest[0].attribute in FOLLOWING and self.rng.random() < 0.3:
                sentences.append(self.follow(rest.pop(0)))
            else:
                sentences.append(self.tell(rest.pop(0)))
            if self.rng.random() < 0.42:
                sentences.append(self._scenery_about(entity, person))
        return " ".join(sentences)

    def _pair(self, rest: list[Fact]) -> tuple[Fact, Fact] | None:
        for first in rest:
            for second in rest:
                if (first.attribute, second.attribute) in PAIRS:
                    return first, second
        return None

    def _scenery_about(self, entity: str, person: bool) -> str:
        patterns = ABOUT_PERSON if person else ABOUT_TOWN
        return self._scenery(patterns, **(self._pronouns(entity) if person else {}))

    def _scenery(self, patterns: tuple[str, ...], **given: str) -> str:
        return _BEFORE_VOWEL.sub(r"\1n ", scenery(self.rng, patterns, **given))

    def roll_call(self, attribute: Attribute, people: list[str]) -> str:
        """Return a paragraph that states one attribute of several people."""
        facts = [fact for person in people for fact in self.world.of(person, attribute)]
        return " ".join([self.rng.choice(ROLL_CALLS[attribute]), *(self.tell(fact) for fact in facts)])

    def dialogue(self, entity: str, facts: list[Fact]) -> str:
        """Return a paragraph of a request and its answer, in quotation marks."""
        first, second = self.rng.sample(SPEAKERS, 2)
        opening = self.rng.choice(OPENINGS).format(n=entity)
        answer = " ".join(self.tell(fact) for fact in facts)
        close = self.rng.choice(CLOSINGS).format(who=second)
        return f'"{opening}," said {first}. "{self.rng.choice(INTERJECTIONS)} {answer}" {close}'

    def statements(self, facts: list[Fact]) -> str:
        """Return a paragraph of facts with scenery between them."""
        sentences = [s for fact in facts for s in (self.tell(fact), self._scenery(GENERAL))]
        return " ".join(sentences[: len(sentences) - self.rng.randrange(2)])

    def scenery_sentence(self) -> str:
        """Return one sentence of scenery."""
        return self._scenery(GENERAL)

    def scenery_paragraph(self) -> str:
        """Return a paragraph of scenery alone."""
        return " ".join(self._scenery(GENERAL) for _ in range(self.rng.randint(2, 4)))
