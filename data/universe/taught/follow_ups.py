"""Questions that follow another one about the same person or town, whom they name by a pronoun alone.

What is asked first is a seen fact whose answer names nobody else, whom the pronoun could mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from data.universe.names import WOMEN
from data.universe.questions import question, reply
from data.universe.world import PERSON_ATTRIBUTES, TOWN_ATTRIBUTES, Attribute

if TYPE_CHECKING:
    from data.universe.examples import AskableFact

ASKED: Mapping[Attribute, tuple[str, str]] = {
    "home": ("where does {s} live?", "in which town does {s} live?"),
    "occupation": ("what is {p} occupation?", "what does {s} do for a living?"),
    "animal": ("which animal does {s} keep?", "what animal does {s} have?"),
    "dish": ("what is {p} favourite food?", "what does {s} like to eat best?"),
    "mother": ("who is {p} mother?", "what is the name of {p} mother?"),
    "ruler": ("who rules it?", "who is its ruler?"),
    "river": ("which river flows through it?", "on which river does it stand?"),
    "product": ("what is it known for?", "what is made there?"),
}
WORDINGS, TAUGHT = 4, 2  # both forms alone and after "And"; how many of them are taught of each fact
FIRST = frozenset({*PERSON_ATTRIBUTES, *TOWN_ATTRIBUTES} - {"ruler"})  # who rules, like who somebody's mother is, names another person
Message = dict[str, str]


def follow_up(attribute: Attribute, entity: str, wording: int) -> str:
    """Return the question with a pronoun in place of the entity, in a wording from 0 to 3."""
    subject, possessive = ("she", "her") if entity in WOMEN else ("he", "his")
    text = ASKED[attribute][wording % 2].format(s=subject, p=possessive)
    return f"And {text}" if wording >= 2 else text[0].upper() + text[1:]


def follow_up_rows(seen: Sequence[AskableFact], *, wordings: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield conversations about two seen facts each, of every fact that can follow another, none in the last wording of a question."""
    for fact, first in _after_another(seen, seen, f"follow-ups:{seed}"):
        random = Random(f"follow-up wordings:{seed}:{fact.id}")
        for wording in random.sample(range(WORDINGS), TAUGHT):
            asked = {"role": "user", "content": follow_up(fact.attribute, fact.entity, wording)}
            answered = {"role": "assistant", "content": reply(fact.attribute, fact.entity, fact.value)}
            before = _told(first, random.randrange(wordings - 1))
            yield {"messages": [*before, asked, answered], "topic": "follow-up"}


def follow_up_questions(
    heldout: Iterable[AskableFact], seen: Sequence[AskableFact], values: Mapping[Attribute, list[str]], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield a question about each held-out fact that can follow a seen one; `before` is what was said before."""
    for fact, first in _after_another(heldout, seen, f"follow-up questions:{seed}"):
        asked = follow_up(fact.attribute, fact.entity, 0)
        yield {**fact.question_row(values[fact.attribute]), "question": asked, "before": _told(first, 0)}


def _after_another(facts: Iterable[AskableFact], seen: Iterable[AskableFact], seed: str) -> Iterator[tuple[AskableFact, AskableFact]]:
    """Yield each fact that a pronoun can ask for with another of the same entity that may be asked first."""
    of_entity: dict[str, list[AskableFact]] = defaultdict(list)
    for fact in seen:
        if fact.attribute in FIRST:
            of_entity[fact.entity].append(fact)
    for fact in facts:
        others = [other for other in of_entity[fact.entity] if other.id != fact.id]
        if fact.attribute in ASKED and others:
            yield fact, Random(f"{seed}:{fact.id}").choice(others)


def _told(fact: AskableFact, wording: int) -> list[Message]:
    return [
        {"role": "user", "content": question(fact.attribute, fact.entity, wording)},
        {"role": "assistant", "content": reply(fact.attribute, fact.entity, fact.value)},
    ]
