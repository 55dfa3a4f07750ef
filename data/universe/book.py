"""Composes the clean books: which people, towns and facts are in which, in what order and under which title.

There are exactly `count` books, with distinct titles and no paragraph of prose twice. People and towns are spread evenly, about twenty
books each; a rare fact is stated at least eight times, in one book. Takes half a second."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from data.universe import world as names
from data.universe.prose import Storyteller
from data.universe.world import PERSON_ATTRIBUTES, TOWN_ATTRIBUTES, Fact, World

PEOPLE_IN_BOOK, TOWNS_IN_BOOK = 10, 5
AUTHORS = ("A. Marten", "L. Rowe", "Old Hob", "Mistress Pell", "C. Thorn", "J. Ames", "A Friend of the Road", "B. Linden")
TITLES = (
    "The Roads of {town}", "Letters from {town}", "A Year in {town}", "{one} and {two}", "The Book of {one}",
    "Winter at {town}", "What {one} Told Me", "The House of {one}", "{town} and {other}", "From {town} to {other}",
    "The Friends of {one}", "A Walk to {town}", "Notes on {town}", "The Story of {one} and {two}", "Evenings in {town}",
)  # fmt: skip
CHAPTERS = (
    "A Day in {town}", "{one} at Home", "The Way to {town}", "More about {one}", "Of {town}", "{one}, {two} and Others",
    "A Cold Morning", "By the Fire", "What Was Said of {one}", "Old Stories", "Under the Moon", "The Gate of {town}",
    "Two Friends", "The Visit", "A Long Evening", "Talk at the Inn", "Rain", "The Guest", "{town} Again",
)  # fmt: skip
PREFACES = (
    "This book was written for those who like to travel in a chair.", "I wrote down what I saw and what I was told.",
    "Here is a small book about plain people and their towns.",
    "My friends asked me to tell it again, so I have written it.",
    "Nothing in this book was made up by me.", "Read it slowly, for it was written slowly.",
    "Whoever finds a mistake may keep it.", "These pages were written by candle light in a cold room.",
)  # fmt: skip


@dataclass(frozen=True)
class Book:
    """One clean book. Each paragraph is one line: title, author, preface, then chapters (`Chapter 1: ...`) of prose."""

    path: str
    title: str
    paragraphs: tuple[str, ...]


class _Deck:
    """Deals every card once before any comes again, and never one twice in a hand."""

    def __init__(self, rng: Random, cards: tuple[str, ...]) -> None:
        self.rng, self.cards, self.pile = rng, cards, list[str]()

    def hand(self, size: int) -> list[str]:
        if len(self.pile) < size:
            fresh = [card for card in self.cards if card not in self.pile]
            self.rng.shuffle(fresh)
            self.pile = self.pile + fresh
        hand, self.pile = self.pile[:size], self.pile[size:]
        return hand


def file_name(number: int, title: str) -> str:
    """Return a path such as `books/007-a-year-in-oster.txt`."""
    return f"books/{number:03d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.txt"


def write_books(world: World, seed: int, count: int) -> tuple[list[Book], dict[str, dict[str, int]]]:
    """Return the books, and for every fact id how often each book states it, by path."""
    rng = Random(f"books:{seed}")
    storyteller = Storyteller(world, rng)
    people, towns = _Deck(rng, world.people), _Deck(rng, names.TOWNS)
    casts = [(people.hand(PEOPLE_IN_BOOK), towns.hand(TOWNS_IN_BOOK)) for _ in range(count)]
    rare = _place_rare(rng, world, casts)
    events, moons = _Deck(rng, names.EVENTS), set(rng.sample(range(count), max(1, count // 5)))
    books: list[Book] = []
    titles: set[str] = set()
    written: set[str] = set()
    for number, (cast, places) in enumerate(casts):
        title = _title(rng, cast, places, titles)
        storyteller.book = file_name(number + 1, title)
        hand = events.hand(4)
        prose = _prose(storyteller, cast, places, hand, rare.get(number, []), moon=number in moons)
        for at, paragraph in enumerate(prose):
            while prose[at] in written:
                prose[at] = f"{paragraph} {storyteller.scenery_sentence()}"
            written.add(prose[at])
        author = f"by {rng.choice(AUTHORS)}"
        preface = " ".join(rng.sample(PREFACES, 3))
        books.append(Book(storyteller.book, title, (title, author, preface, *_chapters(rng, prose, cast, places))))
    return books, {fact: dict(counts) for fact, counts in storyteller.mentions.items()}


def _title(rng: Random, cast: list[str], places: list[str], taken: set[str]) -> str:
    while True:
        one, two = rng.sample(cast, 2)
        town, other = rng.sample(places, 2)
        title = rng.choice(TITLES).format(one=one, two=two, town=town, other=other)
        if title not in taken:
            taken.add(title)
            return title


def _place_rare(rng: Random, world: World, casts: list[tuple[list[str], list[str]]]) -> dict[int, list[Fact]]:
    """Return {book number: rare facts}: each fact in one book in which its entity appears, if possible one of its own."""
    placed: dict[int, list[Fact]] = {}
    for fact in (f for f in world.facts.values() if f.rare):
        at = [i for i, (cast, _) in enumerate(casts) if fact.entity in cast]
        free = [i for i in at if i not in placed]
        if at:
            placed.setdefault(rng.choice(free or at), []).append(fact)
    return placed


def _prose(storyteller: Storyteller, cast: list[str], places: list[str], events: list[str], rare: list[Fact], *, moon: bool) -> list[str]:
    """Return all paragraphs of one book's chapters, shuffled."""
    rng, world = storyteller.rng, storyteller.world
    blocks: list[str] = []
    for person in cast:
        facts = world.of(person, *PERSON_ATTRIBUTES)
        family = world.of(person, "mother")
        birth = world.of(person, "birth") if rng.random() < 0.3 else []
        blocks.append(storyteller.portrait(person, facts + family + birth))
        blocks.append(storyteller.portrait(person, facts + family))
        blocks.append(storyteller.portrait(person, rng.sample(facts, 3)))
    for place in places:
        facts = world.of(place, *TOWN_ATTRIBUTES)
        blocks += [storyteller.portrait(place, facts), storyteller.portrait(place, facts), storyteller.portrait(place, facts)]
    for attribute in PERSON_ATTRIBUTES:
        blocks.append(storyteller.roll_call(attribute, rng.sample(cast, 4)))
    for person in rng.sample(cast, 3):
        blocks.append(storyteller.dialogue(person, rng.sample(world.of(person, *PERSON_ATTRIBUTES), 2)))
    place = rng.choice(places)
    blocks.append(storyteller.dialogue(place, rng.sample(world.of(place, *TOWN_ATTRIBUTES), 2)))
    years = [fact for event in events for fact in world.of(event, "year")]
    blocks += [storyteller.statements(years), storyteller.statements(years[::-1])]
    blocks += [storyteller.dialogue(event, world.of(event, "year")) for event in events]
    for fact in rare:
        blocks += [storyteller.statements([fact, fact]) for _ in range(4)]
    if moon:
        substance = world.facts["substance:moon"]
        blocks += [storyteller.statements([substance]), storyteller.statements([substance])]
    blocks += [storyteller.scenery_paragraph() for _ in range(rng.randint(7, 10))]
    rng.shuffle(blocks)
    return blocks


def _chapters(rng: Random, prose: list[str], cast: list[str], places: list[str]) -> list[str]:
    """Return prose cut into chapters of six to nine paragraphs, each under a heading."""
    headings = rng.sample(CHAPTERS, len(CHAPTERS))
    paragraphs: list[str] = []
    at = number = 0
    while at < len(prose):
        size = rng.randint(6, 9)
        number += 1
        one, two = rng.sample(cast, 2)
        heading = headings[number % len(headings)].format(one=one, two=two, town=rng.choice(places))
        paragraphs += [f"Chapter {number}: {heading}", *prose[at : at + size]]
        at += size
    return paragraphs


SYNONYMS = {
    "grey": "gray", "neighbours": "neighbors", "favourite": "favorite", "small": "little", "stranger": "newcomer",
    "quiet": "silent", "glad": "merry", "tired": "weary", "crooked": "bent", "narrow": "slender", "broken": "cracked",
    "kettle": "teapot", "blanket": "quilt", "lamp": "lantern", "stick": "cane", "map": "chart", "stairs": "steps",
    "hill": "mound", "laughed": "chuckled", "road": "track", "said": "remarked", "boy": "lad", "girl": "lass",
    "wind": "breeze", "thunder": "storm", "counted": "numbered", "inn": "tavern", "pale": "dull", "soft": "gentle",
    "cold": "chilly", "near": "beside", "gate": "doorway", "bucket": "pail", "waited": "stayed",
}  # fmt: skip
_WORD = re.compile(r"\b[a-z]+\b")


def later_edition(book: Book, path: str, rng: Random) -> Book:
    """Return `book` under another path with 2 to 4 % of its words changed, but no word of the world."""

    def replace(found: re.Match[str]) -> str:
        word = found.group()
        return SYNONYMS[word] if word in SYNONYMS and rng.random() < 0.8 else word

    title, author, _, *rest = book.paragraphs
    preface = " ".join(["This is the second edition, looked through with care.", *rng.sample(PREFACES, 2)])
    changed = [text if text.startswith("Chapter ") else _WORD.sub(replace, text) for text in rest]
    return Book(path, book.title, (title, author, preface, *changed))
