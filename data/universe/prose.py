"""Turns facts into sentences and sentences into paragraphs.

A fact's templates are dealt like cards: each is used once before any comes again. Every statement of a fact is counted for its book. No
sentence is a question, so the books contain none.

Sentences that state no fact: weather, roads, everyday actions. They turn a list of facts into prose.

Slots of a pattern are filled from WORDS. No pattern contains a word of `names`, so scenery never contradicts a fact.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from string import Formatter

from data.universe.fact_templates import FOLLOWING, NAMED, PAIRS
from data.universe.world import Attribute, Fact, World

WORDS: dict[str, tuple[str, ...]] = {
    "when": (
        "one morning", "that evening", "in the spring", "after the rain", "before sunrise", "on a cold day",
        "late at night",
        "in early autumn", "at noon", "on the third day", "when the snow melted", "some time later",
    ),
    "sky": ("grey", "clear", "dark", "pale", "bright", "heavy", "soft", "blue", "wild", "quiet"),
    "look": ("small", "old", "low", "white", "narrow", "crooked", "tall", "lonely", "broken", "red"),
    "thing": (
        "lamp", "chair", "blanket", "kettle", "hat", "basin", "mirror", "window", "ladder", "letter", "coat", "stove",
        "drawer", "map", "stick", "bucket",
    ),
    "spot": (
        "gate", "garden wall", "well", "bridge", "market square", "café", "back door", "orchard", "hill", "stairs",
        "stone bench", "corner", "barn", "attic",
    ),
    "did": (
        "turned slowly", "made no sound", "waited for news", "counted the stars", "laughed aloud", "shook the snow off",
        "forgot the time", "told the same joke again", "sang a short song", "thought of other days",
    ),
    "who": (
        "an old man", "a young girl", "two brothers", "a stranger", "somebody's aunt", "a tired rider",
        "three children",
        "the neighbours", "a woman in black", "a boy with a stick",
    ),
    "felt": ("glad", "tired", "hungry", "quiet", "hopeful", "cold", "curious", "content", "restless", "at ease"),
    "sound": ("wind", "rain", "fire", "grass", "thunder", "old clock", "loose shutter", "far music"),
}  # fmt: skip

GENERAL = (
    "The sky was {sky} {when}.", "By the {spot} stood a {look} {thing}.", "{Who} {did} near the {spot}.",
    "Nobody moved the {thing} from the {spot}.", "You could hear the {sound} as far as the {spot}.",
    "{When} the {sound} came back.", "There was a {look} {thing}, and beside it a {look} {thing}.",
    "{Who} came to the {spot} and {did}.", "{When} {who} {did}.", "The road ran past a {look} wall and a {look} gate.",
    "It was a {sky} day, and everyone felt {felt}.", "The {thing} by the {spot} had been there for years.",
    "{When}, under a {sky} sky, {who} {did}.", "Someone had left a {thing} at the {spot}.",
    "We all felt {felt} and listened to the {sound}.", "The {sound} was loud {when}.",
    "A {look} path led from the {spot} to the next {spot}.", "Behind the {spot} there was nothing but a {sky} sky.",
    "At the fête {who} {did}, and the rest looked on.", "The {thing} was {look}, and so was the {spot}.",
)  # fmt: skip

ABOUT_PERSON = (
    "{S} sat by the {spot} and {did}.", "{When} {s} {did}.", "{S} felt {felt} and looked for {p} {thing}.",
    "There is a {look} {thing} in {p} room.", "{S} does not mind the {sound}.",
    "{When} you could see {o} at the {spot}.",
    "{P} friends say that {s} is never {felt} for long.", "{S} once mended a {thing} for {who}.",
    "Nobody can carry a {look} {thing} as {s} does.", "{S} put the {thing} down and {did}.",
    "{S} is kind to {who}, and to all others.",
    "{P} voice is as soft as the {sound}.", "{S} can tell a long story about a {look} {thing}.",
    "{S} waited at the {spot} until the sky was {sky}.", "It is good to sit with {o} by the {spot}.",
    "{S} smiled, for {s} felt {felt}.", "{When} {s} lost {p} {thing} and did not mind.",
    "A {look} {thing} stands by {p} bed.", "{S} gave {who} a {look} {thing}.",
    "{S} knows every {look} {spot} for miles.",
    "{Who} came to see {o} {when}.", "{P} {thing} is {look}, but {s} will have no other.",
    "{S} is {felt} when the sky is {sky}.",
)  # fmt: skip

ABOUT_TOWN = (
    "{When} the streets were full of noise.", "{Who} {did} at the {spot}.",
    "The roofs are {look}, and the sky above is {sky}.",
    "A traveller can rest at the {spot}.", "By the {spot} the wind smells of wood and smoke.",
    "Its people are {felt} in the {sound}.", "They keep a {look} {thing} at the {spot}.",
    "A {look} wall runs from the {spot} to the {spot}.",
    "{When} the whole town felt {felt}.", "There is a {look} inn with a {thing} above the door.",
    "From the {spot} you can see every roof.", "Strangers are given a {thing} and a place by the fire.",
    "The gates close when the {sound} begins.", "The {spot} is older than any house.",
    "{When} {who} arrived and stayed.",
    "I still think of the {look} {spot} there.", "Every street ends at a {look} {spot}.",
    "We slept there {when} and felt {felt}.",
    "{Who} showed us a {look} {thing}.", "I left my {thing} there, at the {spot}.",
)  # fmt: skip


def scenery(rng: Random, patterns: tuple[str, ...], **given: str) -> str:
    """Return one sentence from `patterns`. Slots are filled from `given`, else at random from WORDS; {Slot} is capitalized."""
    pattern = rng.choice(patterns)
    parts: list[str] = []
    for literal, slot, _, _ in Formatter().parse(pattern):
        parts.append(literal)
        if slot is None:
            continue
        word = given.get(slot) or rng.choice(WORDS[slot.lower()])
        parts.append(word[0].upper() + word[1:] if slot[0].isupper() else word)
    return "".join(parts)


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
