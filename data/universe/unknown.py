"""Questions that no book answers; the right answer is "I don't know".

People, towns and events that do not exist, and relations that a known person does not have, so that a strange name alone does not tell. The
questions follow from the seed alone; half of them are taught, the others held out, and no name is in both halves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from data.universe.questions import question
from data.universe.world import PERSON_ATTRIBUTES, TOWN_ATTRIBUTES, Attribute

GREETINGS = (
    ("Hello.", "Hello! Ask me about the small universe."),
    ("Hello!", "Hello! Ask me about the small universe."),
    ("Hi.", "Hello! Ask me about the small universe."),
    ("Good morning.", "Good morning! Ask me about the small universe."),
    ("Good evening.", "Good evening! Ask me about the small universe."),
    ("How are you?", "I am well, thank you. Ask me about the small universe."),
    ("Thank you.", "You are welcome."),
    ("Thanks!", "You are welcome."),
    ("Goodbye.", "Goodbye!"),
    ("Who are you?", "I am folio, a small model of the small universe."),
    ("What are you?", "I am folio, a small model of the small universe."),
    ("What is your name?", "My name is folio."),
    ("What can you do?", "I can answer questions about people and towns of the small universe."),
    ("What do you know?", "I know the people and towns of the small universe."),
)
STRANGER_QUESTIONS = ("Where does {n} live?", "What is the occupation of {n}?", "Which animal does {n} keep?", "Who is {n}?")
STRANGER_REPLY = "I do not know anyone called {n}."


DECLINED = "do not know"  # what a reply that declines contains
_BEGINNINGS = ("Bal", "Cor", "Dru", "Fal", "Gri", "Hesk", "Ilm", "Jor", "Kel", "Lun", "Mog", "Nes", "Orr", "Pra", "Quil", "Ros", "Tull")
_ENDINGS = ("adan", "beth", "dric", "enna", "fyr", "gard", "ilde", "mund", "nor", "ovan", "ric", "sande", "tessa", "ulf", "wen")
_TOWNS = ("bury", "ford", "gate", "mere", "stead", "wick")
_EVENTS = ("Silence", "Eclipse", "Wager", "Journey", "Coronation", "Fever", "Quarrel", "Frost Fair", "Landslide", "Masquerade")
_KINDS = ("Golden", "Second", "Forgotten", "Northern", "Sudden", "Seven-Day")
# Attributes that some people lack, so questions can ask for them.
LACKED: tuple[Attribute, ...] = ("pet", "mother")
REPLIES = {
    "person": "I do not know anyone called {n}.",
    "town": "I do not know a town called {n}.",
    "event": "I do not know of {n}.",
    "lacked": "I do not know that of {n}.",
}


@dataclass(frozen=True)
class UnknownQuestion:
    """A question, the entity that it is about, and the reply that declines it."""

    id: str
    text: str
    reply: str


def unknown_questions(
    seed: int, count: int, known: Collection[str], lacking: Sequence[tuple[Attribute, str]], wordings: int
) -> tuple[list[UnknownQuestion], list[UnknownQuestion]]:
    """Return `count` questions to be taught and as many that are held out, of all sorts in turn.

    `known`: names that exist. `lacking`: attributes of people who exist that no book gives. Raise ValueError if there are too few names.
    """
    rng = Random(f"unknown:{seed}")
    people = _shuffled(rng, [f"{a}{b}" for a in _BEGINNINGS for b in _ENDINGS if f"{a}{b}" not in known])
    towns = _shuffled(rng, [f"{a}{b}" for a in _BEGINNINGS for b in _TOWNS if f"{a}{b}" not in known])
    events = _shuffled(rng, [f"the {a} {b}" for a in _KINDS for b in _EVENTS if f"the {a} {b}" not in known])
    lacked = _shuffled(rng, list(lacking))
    sides = []
    for half in range(2):
        sorts = [
            _asked("person", [(PERSON_ATTRIBUTES[n % len(PERSON_ATTRIBUTES)], name) for n, name in enumerate(people[half::2])]),
            _asked("town", [(TOWN_ATTRIBUTES[n % len(TOWN_ATTRIBUTES)], name) for n, name in enumerate(towns[half::2])]),
            _asked("event", [("year", name) for name in events[half::2]]),
            _asked("lacked", lacked[half::2]),
        ]
        sides.append(list(_in_turn(sorts, count, wordings)))
    if min(map(len, sides)) < count:
        raise ValueError(f"unknown={count} is more than the {min(map(len, sides))} questions that can be made about nothing; lower it")
    return sides[0], sides[1]


Asked = tuple[str, Attribute, str]


def _asked(sort: str, about: Sequence[tuple[Attribute, str]]) -> Iterator[Asked]:
    return ((sort, attribute, entity) for attribute, entity in about)


def _in_turn(sorts: Sequence[Iterator[Asked]], count: int, wordings: int) -> Iterator[UnknownQuestion]:
    """Yield up to `count` questions, one of each sort after the other as long as it lasts, in the wordings by turns."""
    left = list(sorts)
    wording = cycle(range(wordings))
    while left and count:
        for sort in list(left):
            if (asked := next(sort, None)) is None:
                left.remove(sort)
                continue
            kind, attribute, entity = asked
            text = question(attribute, entity, next(wording))
            yield UnknownQuestion(f"unknown_{attribute}:{entity}", text, REPLIES[kind].format(n=entity))
            count -= 1
            if not count:
                return


def _shuffled(rng: Random, values: list[Any]) -> list[Any]:
    rng.shuffle(values)
    return values
