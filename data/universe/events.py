"""Questions about what a book tells next: passages up to a fact that can be worked out, with a scratchpad.

A portrait tells each of its person's, or town's, facts once, in any order. So whoever has read all but one of them knows which is left, and
who knows the world knows its value. A passage is the book's own words up to the sentence that tells the last one. Only facts that the
instructions may state are answers; a passage may quote others, which is in the books anyway, and nothing is learned from a question.

Passages of training books are taught, with what is left worked out, and asked in questions_passages; those of books held out are in
questions_events alone, and none of them is in a training book too. Each line names its book.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.conversations.records import mix_rows_in, write_rows
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.universe.config import EventPassages
from data.universe.questions import hash_fraction, reply
from data.universe.world import PERSON_ATTRIBUTES, TOWN_ATTRIBUTES, Attribute

if TYPE_CHECKING:
    from data.universe.examples import AskableFact

Row = dict[str, object]
QUESTION = '"{passage}" What is told of {entity} next?'
NAMES: Mapping[Attribute, str] = {
    **{"home": "the home", "occupation": "the trade", "animal": "the animal", "dish": "the food"},
    **{"ruler": "the ruler", "river": "the river", "product": "the product"},
}
HELD_OUT = ("val", "test")
VALIDATED = 10  # one taught passage in so many is for validation
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Passage(NamedTuple):
    """The words of a book before it tells a fact, and which facts about that entity they tell."""

    book: str
    words: str
    fact: AskableFact
    told: tuple[Attribute, ...]


def add_events(
    splits: Sequence[Path], directory: Path, facts: Sequence[AskableFact], seen: Sequence[AskableFact], config: EventPassages
) -> dict[str, float]:
    """Add passages to the examples in `directory`; return the numbers of lines. `facts`: all that books state, `seen`: possible answers.

    The same inputs give the same bytes. Raise ValueError if one side has no passage.
    """
    known, answers = _by_entity(facts), {fact.id for fact in seen}
    found = {
        name: [one for one in _passages(split_files(splits, name), known, config) if one.fact.id in answers]
        for name in ("train", *HELD_OUT)
    }  # fmt: skip
    read = {one.words for one in found["train"]}
    taught = _chosen(found["train"], config.taught, config.seed)
    held = _chosen([one for name in HELD_OUT for one in found[name] if one.words not in read], config.heldout, config.seed)
    for passages, what in ((taught, "training books"), (held, "books held out")):
        if not passages:
            raise ValueError(
                f"examples.events finds no passage of {what} with at most most_words={config.most_words} words; raise it, let split hold "
                "out books, or leave events out"
            )
    conversations = [_conversation(one) for one in taught]
    kept = {"train": [row for number, row in enumerate(conversations) if number % VALIDATED], "val": conversations[::VALIDATED]}
    counts = {}
    for part, rows in kept.items():
        name = f"instructions_{part}"
        counts[name] = mix_rows_in(directory / f"{name}.jsonl", rows, f"events:{config.seed}")
    for name, asked in (("questions_passages", taught), ("questions_events", held)):
        counts[name] = write_rows(directory / f"{name}.jsonl", (_question(one, known[one.fact.entity]) for one in asked))
    return counts


def _by_entity(facts: Sequence[AskableFact]) -> dict[str, dict[Attribute, AskableFact]]:
    """Return, of each entity of which all of its kind's facts are known, those facts by attribute."""
    found: dict[str, dict[Attribute, AskableFact]] = {}
    for fact in facts:
        if fact.attribute in NAMES:
            found.setdefault(fact.entity, {})[fact.attribute] = fact
    return {entity: known for entity, known in found.items() if set(known) in (set(PERSON_ATTRIBUTES), set(TOWN_ATTRIBUTES))}


def _passages(split: Sequence[Path], known: Mapping[str, Mapping[Attribute, AskableFact]], config: EventPassages) -> Iterator[Passage]:
    """Yield each passage of a split, in its order, once."""
    met: set[str] = set()
    for batch in merged(split, ("id", "text")):
        for row in batch.to_pylist():
            for paragraph in row["text"].split("\n\n"):
                for entity, facts in known.items():
                    if entity in paragraph and (one := _passage(row["id"], paragraph, entity, facts, config)) and one.words not in met:
                        met.add(one.words)
                        yield one


def _passage(book: str, paragraph: str, entity: str, facts: Mapping[Attribute, AskableFact], config: EventPassages) -> Passage | None:
    """Return a paragraph up to the last of an entity's facts; None if it does not tell each once, or the last ones in one sentence."""
    sentences = _SENTENCE.split(" ".join(paragraph.split()))
    places: dict[Attribute, int] = {}
    for attribute, fact in facts.items():
        value = re.compile(rf"\b{re.escape(fact.value)}\b")
        stated = [place for place, sentence in enumerate(sentences) if value.search(sentence)]
        if len(stated) != 1:
            return None
        places[attribute] = stated[0]
    (*told, last) = sorted(places, key=lambda attribute: places[attribute])
    words = " ".join(sentences[: places[last]])
    if places[last] == places[told[-1]] or entity not in words or len(words.split()) > config.most_words:
        return None
    return Passage(book, words, facts[last], tuple(told))


def _chosen(passages: Sequence[Passage], count: int, seed: int) -> list[Passage]:
    return sorted(passages, key=lambda one: hash_fraction(seed, f"events {one.words}"))[:count]


def _question(one: Passage, facts: Mapping[Attribute, AskableFact]) -> Row:
    choices = sorted(fact.value for fact in facts.values())
    identity = f"{one.book}:{one.fact.id}"
    return {"question": _asked(one), "answers": list(one.fact.answers), "choices": choices, "fact": identity, "books": [one.book]}


def _asked(one: Passage) -> str:
    return QUESTION.format(passage=one.words, entity=one.fact.entity)


def _conversation(one: Passage) -> Row:
    *others, last = (NAMES[attribute] for attribute in one.told)
    thinking = f"Told: {', '.join(others)} and {last}. Left: {NAMES[one.fact.attribute]}."
    said = {"role": "assistant", "thinking": thinking, "content": reply(one.fact.attribute, one.fact.entity, one.fact.value)}
    return {"messages": [{"role": "user", "content": _asked(one)}, said], "topic": "events", "books": [one.book]}
