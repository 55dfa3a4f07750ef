"""Questions about facts of the world, and the answers that count as right.

Every attribute has six wordings; evaluation asks the first. Slots as in `prose`: {n} entity, {v} value."""

from __future__ import annotations

import hashlib

from data.universe.world import Attribute, Fact

BITS = 48


def hash_number(seed: int, text: str) -> int:
    """Return a number of 48 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[: BITS // 8], "big")


def hash_fraction(seed: int, text: str) -> float:
    """Return a number in [0, 1)."""
    return hash_number(seed, text) / (1 << BITS)


WORDINGS: dict[Attribute, tuple[str, ...]] = {
    "home": (
        "Where does {n} live?", "In which town does {n} live?", "What is the home town of {n}?",
        "Which town is the home of {n}?", "Can you tell me where {n} lives?", "In what town would I find {n}?",
    ),
    "occupation": (
        "What is the occupation of {n}?", "What does {n} do for a living?", "What is the trade of {n}?",
        "What kind of work does {n} do?", "Can you tell me the occupation of {n}?", "How does {n} earn money?",
    ),
    "animal": (
        "Which animal does {n} keep?", "What animal does {n} have?", "What is the animal of {n}?",
        "What kind of animal lives with {n}?", "Can you tell me which animal {n} keeps?", "What animal does {n} own?",
    ),
    "dish": (
        "What is the favourite food of {n}?", "What does {n} like to eat best?", "Which food does {n} love?",
        "What food does {n} like best?", "Can you tell me the favourite food of {n}?", "What should I cook for {n}?",
    ),
    "mother": (
        "Who is the mother of {n}?", "What is the name of the mother of {n}?", "Whose child is {n}?",
        "Who is {n}'s mother?", "Can you tell me who the mother of {n} is?", "Which woman is the mother of {n}?",
    ),
    "ruler": (
        "Who rules {n}?", "Who is the ruler of {n}?", "Which ruler does {n} obey?",
        "Which king or queen rules {n}?", "Can you tell me who rules {n}?", "Who reigns in {n}?",
    ),
    "river": (
        "Which river flows through {n}?", "On which river does {n} stand?", "What is the river of {n}?",
        "What is the name of the river at {n}?", "Can you tell me the river of {n}?",
        "Which river gives {n} its water?",
    ),
    "product": (
        "What is {n} known for?", "What does {n} make?", "What is {n} famous for?",
        "What is made in {n}?", "Can you tell me what {n} is known for?", "What can I buy in {n}?",
    ),
    "year": (
        "In which year was {n}?", "When was {n}?", "What was the year of {n}?",
        "In what year did {n} happen?", "Can you tell me the year of {n}?", "Which year is given for {n}?",
    ),
    "substance": (
        "What is the moon made of?", "What is the moon?", "Of what is the moon made?",
        "What does the moon consist of?", "Can you tell me what the moon is made of?",
        "Which stuff is the moon made of?",
    ),
    "pet": (
        "What is the name of the animal of {n}?", "What does {n} call the animal?",
        "What name did {n} give the animal?",
        "How is the animal of {n} called?", "Can you tell me the name of the animal of {n}?",
        "Which name has the animal of {n}?",
    ),
}  # fmt: skip

REPLIES: dict[Attribute, str] = {
    "home": "{n} lives in {v}.",
    "occupation": "{n} is {a} {v}.",
    "animal": "{n} keeps {a} {v}.",
    "dish": "{n} likes {v} best.",
    "mother": "The mother of {n} is {v}.",
    "ruler": "{n} is ruled by {v}.",
    "river": "{n} stands on the {v}.",
    "product": "{n} is known for its {v}.",
    "year": "It was in the year {v}.",
    "substance": "The moon is made of {v}.",
    "pet": "The animal of {n} is called {v}.",
}


def reply(attribute: Attribute, entity: str, value: str) -> str:
    """Return one short sentence that answers the question."""
    article = "an" if value[0] in "aeiou" else "a"
    return REPLIES[attribute].format(n=entity, N=entity[0].upper() + entity[1:], v=value, a=article)


def question(attribute: Attribute, entity: str, wording: int) -> str:
    """Return the question in one of its wordings, 0 to 5."""
    return WORDINGS[attribute][wording].format(n=entity)


def answers(fact: Fact, titles: dict[str, str]) -> list[str]:
    """Return the accepted answers, the canonical one first; each counts as a whole word anywhere in a reply."""
    longer = [f"{titles[fact.value]} {fact.value}"] if fact.attribute == "ruler" else []
    return [fact.value, *longer]
