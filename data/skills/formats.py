"""Follow a format: the same fact as JSON, as one word, and two as a list. The baseline has the format right and guesses the values."""

from __future__ import annotations

import json
from collections import defaultdict

from data.skills.item import SEEN_TESTED, Exchange, Lessons, SkillFact, SkillWorld, TestItem

PHRASES = {
    "home": "home town", "occupation": "occupation", "animal": "animal", "dish": "favourite food", "mother": "mother",
    "ruler": "ruler", "river": "river", "product": "product",
}  # fmt: skip
# The last of each is in tests alone.
JSON = (
    "Give the name and the {p} of {n} as JSON.", "JSON with name and {p} of {n}, please.", "What is the {p} of {n}? Answer as JSON.",
    "Reply in JSON: what is the {p} of {n}?", "As JSON: the {p} of {n}.", "The {p} of {n} in JSON, please.",
    "What is the {p} of {n}? Reply in JSON.",
)  # fmt: skip
WORD = (
    "Answer in one word: what is the {p} of {n}?", "In one word, the {p} of {n}.", "What is the {p} of {n}? In one word, please.",
    "One word only: the {p} of {n}.", "Reply with one word: what is the {p} of {n}?", "The {p} of {n}, in one word.",
    "What is the {p} of {n}? One word only.",
)  # fmt: skip
LIST = (
    "List the {p} and the {q} of {n}.", "As a list: the {p} and the {q} of {n}.", "A list with the {p} and the {q} of {n}, please.",
    "Write a list: the {p} of {n}, the {q} of {n}.", "Make a list of the {p} and the {q} of {n}.",
    "Give me a list with the {p} and the {q} of {n}.",
)  # fmt: skip
EACH = 3  # templates in which a seen fact is taught in each format


def lessons(world: SkillWorld) -> Lessons:
    """Return exchanges about seen facts, and items about held-out ones and some of the seen."""
    made = Lessons()
    pairs: dict[tuple[str, bool], list[SkillFact]] = defaultdict(list)
    for number, fact in enumerate(fact for fact in world.facts if fact.attribute in PHRASES):
        slots = {"p": PHRASES[fact.attribute], "n": fact.entity}
        pairs[fact.entity, fact.seen].append(fact)
        if fact.seen:
            made.exchanges += [Exchange(request.format(**slots), _json(fact, fact.value)) for request in _some(JSON, number)]
            made.exchanges += [Exchange(request.format(**slots), fact.value) for request in _some(WORD, number)]
        if fact.seen and number % SEEN_TESTED:
            continue
        guess = world.guess(world.values(fact.attribute), fact.entity)
        fields = {"name": [fact.entity], PHRASES[fact.attribute]: list(fact.answers)}
        made.items.append(TestItem(JSON[-1].format(**slots), {"rule": "json", "fields": fields}, _json(fact, guess), not fact.seen))
        made.items.append(TestItem(WORD[-1].format(**slots), {"rule": "word", "answers": list(fact.answers)}, guess, not fact.seen))
    for number, ((entity, seen), (first, *others)) in enumerate(pairs.items()):
        if not others:
            continue
        second = others[0]
        slots = {"p": PHRASES[first.attribute], "q": PHRASES[second.attribute], "n": entity}
        if seen:
            made.exchanges += [Exchange(template.format(**slots), _list(first.value, second.value)) for template in _some(LIST, number)]
        if seen and number % SEEN_TESTED:
            continue
        guesses = [world.guess(world.values(fact.attribute), f"{entity} {fact.attribute}") for fact in (first, second)]
        check = {"rule": "list", "entries": [list(first.answers), list(second.answers)]}
        made.items.append(TestItem(LIST[-1].format(**slots), check, _list(*guesses), not seen))
    return made


def _some(templates: tuple[str, ...], number: int) -> list[str]:
    """Return `EACH` of the templates that are taught, others for the next number."""
    taught = templates[:-1]
    return [taught[(number + step) % len(taught)] for step in range(EACH)]


def _json(fact: SkillFact, value: str) -> str:
    return json.dumps({"name": fact.entity, PHRASES[fact.attribute]: value})


def _list(*values: str) -> str:
    return "\n".join(f"- {value}" for value in values)
