"""Summarize a book in n sentences: each states another fact that the book states. The model has read the book; the request has its title.

Exchanges are of seven books in ten and state seen facts; items are of the others. The baseline states n facts of the world by a hash,
true ones, of whatever book.
"""

from __future__ import annotations

import re
from collections import defaultdict

from data.skills.item import Exchange, Lessons, SkillFact, SkillWorld, TestItem
from data.universe.hashing import hash_fraction
from data.universe.questions import reply

COUNTS = ("one sentence", "two sentences", "three sentences")
REQUESTS = (
    "Summarize the book {t} in {c}.", "In {c}, what does the book {t} say?", "Tell me about the book {t} in {c}.",
    "What does the book {t} say? Use {c}.", "The book {t} in {c}, please.", "What is the book {t} about? Use {c}.",
)  # fmt: skip
SMALL = ("of", "from", "in", "to", "and", "at", "on")


def title_of(path: str) -> str:
    """Return a book's title from its path, such as `From Oster to Brack`."""
    words = re.sub(r"^.*/\d+-|\.txt$", "", path).split("-")
    return " ".join(word if number and word in SMALL else word.capitalize() for number, word in enumerate(words))


def lessons(world: SkillWorld) -> Lessons:
    """Return exchanges and items; a book with fewer than three facts of its own kind has none."""
    made = Lessons()
    stated: dict[str, list[SkillFact]] = defaultdict(list)
    for fact in world.facts:
        for path in fact.books:
            stated[path].append(fact)
    for number, path in enumerate(sorted(stated)):
        title = title_of(path)
        # What the title names is what the book is about.
        facts = sorted(stated[path], key=lambda fact: (fact.entity not in title, -_rank(world, path, fact)))
        if _rank_text(world, path) < 0.3:
            statements = [[fact.entity, fact.value] for fact in facts]
            for count, words in enumerate(COUNTS, start=1):
                check = {"rule": "sentences", "count": count, "statements": statements}
                guesses = [world.guess([_said(fact) for fact in world.facts], f"{path} {count} {at}") for at in range(count)]
                made.items.append(TestItem(REQUESTS[-1].format(t=title, c=words), check, " ".join(guesses)))
            continue
        seen = [fact for fact in facts if fact.seen]
        for count in (1, 2, 3):
            if len(seen) >= 3:
                request = REQUESTS[(number + count) % (len(REQUESTS) - 1)].format(t=title, c=COUNTS[count - 1])
                made.exchanges.append(Exchange(request, " ".join(_said(fact) for fact in seen[:count])))
    return made


def _said(fact: SkillFact) -> str:
    return reply(fact.attribute, fact.entity, fact.value)


def _rank(world: SkillWorld, path: str, fact: SkillFact) -> float:
    return _rank_text(world, f"{path} {fact.attribute} {fact.entity}")


def _rank_text(world: SkillWorld, text: str) -> float:
    return hash_fraction(world.seed, f"summary:{text}")
