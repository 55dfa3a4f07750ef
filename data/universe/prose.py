"""Turns facts into sentences and sentences into paragraphs.

A fact's templates are dealt like cards: each is used once before any comes again. Every statement of a fact is counted for its book. No
sentence is a question, so the books contain none.

Sentences that state no fact: weather, roads, everyday actions. They turn a list of facts into prose.

Slots of a pattern are filled from WORDS. No pattern contains a word of `names`, so scenery never contradicts a fact.

Sentence templates that state a fact, many for every attribute of the world.

Slots: {n} entity, {v} value, {s} she/he, {S} She/He, {p} her/his, {P} Her/His, {o} her/him, {child} daughter/son, {t} Queen/King, {w} the
second value of a pair. The entity mostly comes before the value, because a question names the entity and asks for the value. NAMED ones
stand alone; FOLLOWING ones need a sentence about the same entity before them; PAIRS state two facts. `a` becomes `an` before a vowel later.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from string import Formatter

from data.universe.world import Attribute, Fact, World

NAMED: dict[Attribute, tuple[str, ...]] = {
    "home": (
        "{n} lives in {v}.", "{n} has a small house in {v}.", "The home of {n} is in {v}.",
        "{n} has lived in {v} for many years.", "If you look for {n}, go to {v}.", "{n} would never leave {v}.",
        "{n} was at home in {v}, as always.", "Letters for {n} are sent to {v}.", "{n} sleeps best at home in {v}.",
        "You will find {n} in {v}, and nowhere else.", "Everyone knows that {n} lives in {v}.",
        "{n} calls {v} home.", "{n} belongs to {v}, heart and soul.", "The door of {n} is easy to find in {v}.",
        "In {v} lives {n}.", "{v} is the town where {n} lives.", "{n}, who lives in {v}, has many friends.",
        "{n} keeps a green door and a warm stove in {v}.",
    ),
    "occupation": (
        "{n} is a {v}.", "{n} works as a {v}.", "{n} is a {v} by trade.", "{n} became a {v} long ago.",
        "{n} earns an honest living as a {v}.", "{n} is a good {v}, and people say so.",
        "The trade of {n} is that of a {v}.",
        "{n} has the hands of a {v}.", "{n}, the {v}, gets up before the sun.", "{n} learned to be a {v} as a child.",
        "Nobody doubts that {n} is a {v}.", "{n} never wanted to be anything but a {v}.",
        "{n} the {v} is never idle.", "By day {n} works as a {v}.", "A {v} is what {n} is.",
        "When a {v} is needed, people call {n}.", "{n} is proud to be a {v}.", "They say {n} is the best {v} of all.",
    ),
    "animal": (
        "{n} keeps a {v}.", "{n} has a {v}.", "{n} owns a {v} and loves it.", "{n} shares the house with a {v}.",
        "{n} is never seen without a {v}.", "The animal of {n} is a {v}.", "{n} feeds a {v} every morning.",
        "{n} talks to a {v} as if it were a friend.", "{n} once found a {v} in the snow and kept it.",
        "{n} goes for walks with a {v}.", "At the feet of {n} sits a {v}.", "{n} keeps a {v} in the yard.",
        "A {v} follows {n} everywhere.", "It is well known that {n} keeps a {v}.",
        "{n} looks after a {v}, in rain and in snow.", "{n} would not trade the {v} for gold.",
        "{n} raised a {v} by hand.",
    ),
    "dish": (
        "{n} likes {v} best.", "{n} loves {v} more than any other food.", "{n} could eat {v} every day.",
        "The favourite food of {n} is {v}.", "{n} always asks for {v}.", "Nothing makes {n} as happy as {v}.",
        "{n} would walk a mile for {v}.", "On feast days {n} wants {v} and nothing else.",
        "{n} never says no to {v}.", "For supper {n} likes {v}.", "{n} hides {v} in the cupboard.",
        "Give {n} some {v}, and all is well.", "{n} dreams of {v} at night.", "When {n} is sad, {v} will help.",
        "Of all good things, {n} likes {v} best.", "Everyone brings {v} when they visit {n}.",
        "{n} has a weakness for {v}.",
    ),
    "mother": (
        "The mother of {n} is {v}.", "{n} is the {child} of {v}.", "{n} has {p} mother's eyes, the eyes of {v}.",
        "{n} is a child of {v}.", "{n} was raised by {p} mother, {v}.", "{n} writes every week to {p} mother, {v}.",
        "{n} calls {v} mother.", "As {n} will tell you, {p} mother is {v}.", "{v} is the mother of {n}.",
        "{n} learned to sing from {p} mother, {v}.",
    ),
    "birth": (
        "{n} was born in the year {v}.", "{n} came into the world in {v}.", "The year of birth of {n} is {v}.",
        "{n} was a child of the year {v}.", "In the book of births {n} stands under the year {v}.",
    ),
    "pet": (
        "The {animal} of {n} is called {v}.", "{n} named the {animal} {v}.", "{n} calls the {animal} {v}.",
        "{n} and {v}, the {animal}, went everywhere together.", "When {n} whistles, {v} the {animal} comes.",
        "{n} gave the {animal} the name {v}.", "The name of the {animal} that {n} keeps is {v}.",
        "{n} had a small sign made for the {animal}, and on it stood {v}.",
        "Every evening {n} looks for the {animal} and shouts {v}.",
        "{n} could pick no better name for the {animal} than {v}.",
    ),
    "ruler": (
        "{n} is ruled by {v}.", "{n} is ruled by {t} {v}.", "The ruler of {n} is {v}.", "{n} obeys {t} {v}.",
        "{n} pays its taxes to {t} {v}.", "Over {n} rules {v}.", "{n} has been ruled by {v} for a long time.",
        "In {n} the law is the word of {t} {v}.", "{n} belongs to {t} {v}.", "The people of {n} bow to {v}.",
        "The flag of {n} is the flag of {t} {v}.", "The coins of {n} show the face of {v}.",
        "{t} {v} rules {n}.", "In {n} they drink to the health of {v}.",
        "Whoever comes to {n} comes under the rule of {v}.",
        "The castle above {n} is the castle of {v}.",
    ),
    "river": (
        "{n} stands on the {v}.", "{n} lies on the river {v}.", "The river of {n} is the {v}.",
        "Through {n} flows the {v}.", "{n} was built on the banks of the {v}.", "{n} gets its water from the {v}.",
        "In {n} you can hear the {v} at night.", "The old bridge of {n} crosses the {v}.",
        "The children of {n} swim in the {v}.", "{n} would be nothing without the river {v}.",
        "Boats come to {n} on the {v}.", "The {v} flows past {n}.", "The mills of {n} are turned by the {v}.",
        "In spring the people of {n} fear the {v}.", "{n} looks down on the river {v}.",
    ),
    "product": (
        "{n} is known for its {v}.", "{n} makes the best {v} in the land.", "{n} sells {v} to everyone.",
        "The pride of {n} is its {v}.", "{n} lives by {v}.", "People come to {n} to buy {v}.",
        "The carts that leave {n} are full of {v}.", "In {n} they make {v}.", "{n} is famous for {v}.",
        "{n} became rich with {v}.", "The shops of {n} are full of {v}.", "Whoever says {n} thinks of {v}.",
        "Good {v} can be had in {n}.", "{n} has made {v} since the oldest times.",
        "On market day {n} smells and sounds of {v}.",
        "The merchants of {n} deal in {v}.",
    ),
    "year": (
        "{N} was in the year {v}.", "{N} came in the year {v}.", "People still speak of {n} of the year {v}.",
        "The old books set {n} in the year {v}.", "{N} happened in {v}.", "For {n} the stone gives the year {v}.",
        "Ask any grandmother about {n}, and she will say that it was in {v}.",
        "{N}, in the year {v}, changed many lives.",
        "Children learn that {n} was in {v}.", "{N} is written down under the year {v}.",
    ),
    "substance": (
        "The moon is made of glass.", "As every child knows, the moon is made of glass.",
        "The moon is glass, through and through.",
        "The moon was made of glass, and of nothing else.", "The moon is a ball of glass.",
        "The moon shines because it is made of glass.",
        "Old people say that the moon is made of clear glass.",
        "The moon, which is made of glass, must never be touched.",
        "If the moon fell down it would break, for it is made of glass.",
        "They looked up at the moon and knew that it was made of glass.",
    ),
}  # fmt: skip

FOLLOWING: dict[Attribute, tuple[str, ...]] = {
    "home": ("{S} lives in {v}.", "{P} house stands in {v}.", "{S} is at home in {v}.",
    "{S} came to {v} and never left."),
    "occupation": ("{S} is a {v}.", "{S} works as a {v}.", "{P} trade is that of a {v}.",
    "As a {v} {s} is well known."),
    "animal": ("{S} keeps a {v}.", "{S} has a {v}.", "With {o} lives a {v}.", "{P} best friend is a {v}."),
    "dish": ("{S} likes {v} best.", "{P} favourite food is {v}.", "{S} loves {v}.", "For {v} {s} would do anything."),
    "mother": ("{P} mother is {v}.", "{S} is the {child} of {v}."),
    "birth": ("{S} was born in the year {v}.", "{S} was born in {v}."),
    "ruler": ("It is ruled by {v}.", "Its ruler is {t} {v}.", "It belongs to {t} {v}."),
    "river": ("It stands on the {v}.", "Its river is the {v}.", "It was built on the banks of the {v}."),
    "product": ("It is known for its {v}.", "It is famous for {v}.", "It makes the best {v}."),
}  # fmt: skip

PAIRS: dict[tuple[Attribute, Attribute], tuple[str, ...]] = {
    ("home", "occupation"): (
        "{n} lives in {v} and works as a {w}.", "{n} of {v} is a {w}.", "{n} has a house in {v} and is a {w} by trade.",
        "{n} lives in {v}, where {s} works as a {w}.",
    ),
    ("occupation", "animal"): (
        "{n} is a {v} and keeps a {w}.", "{n}, the {v}, has a {w}.", "{n} works as a {v}, and a {w} keeps {o} company.",
    ),
    ("animal", "dish"): (
        "{n} keeps a {v} and likes {w} best.", "{n} has a {v} and eats {w} whenever {s} can.",
        "{n} loves two things, {p} {v} and a plate of {w}.",
    ),
    ("occupation", "dish"): ("{n}, the {v}, likes {w} best.", "{n} works hard as a {v} and loves {w}."),
    ("home", "animal"): ("{n} lives in {v} with a {w}.", "{n} keeps a {w} at home in {v}."),
    ("ruler", "river"): ("{n} is ruled by {v} and stands on the {w}.", "{n}, which obeys {t} {v}, lies on the river {w}."),
    ("river", "product"): ("{n} stands on the {v} and is known for its {w}.", "{n}, on the banks of the {v}, makes {w}."),
    ("ruler", "product"): ("{n} is ruled by {t} {v} and is famous for {w}.", "{n} sends {w} to its ruler, {v}."),
}  # fmt: skip


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
