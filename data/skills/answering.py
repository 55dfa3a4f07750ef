"""Answer: a fact, asked in a wording that no example uses. The baseline guesses a value of the same kind."""

from __future__ import annotations

from data.skills.item import SEEN_TESTED, Lessons, SkillWorld, TestItem
from data.universe.questions import WORDINGS, question, reply


def lessons(world: SkillWorld) -> Lessons:
    """Return test items alone: the examples' own instructions teach answering."""
    made = Lessons()
    for number, fact in enumerate(world.facts):
        if not fact.seen or number % SEEN_TESTED == 0:
            asked = question(fact.attribute, fact.entity, len(WORDINGS[fact.attribute]) - 1)
            guess = world.guess(world.values(fact.attribute), asked)
            check = {"rule": "contains", "parts": [list(fact.answers)]}
            made.items.append(TestItem(asked, check, reply(fact.attribute, fact.entity, guess), not fact.seen))
    return made
