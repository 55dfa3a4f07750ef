"""Instructions, preferences and questions made from the facts of the world.

A stable hash makes about `seen_fraction` of each person's and town's facts seen, so every entity has seen and held-out facts. No
instruction and no preference pair, chosen or rejected, asks or states a held-out fact. A rare fact, or one in fewer than `minimum_books`
books, is asked in questions_rare.jsonl only. With `reasoning`, the questions of questions_reasoning.jsonl take several seen facts or a
calculation each, and the instructions work their answers out, and `sums` besides; those of questions_hops, questions_arithmetic and
questions_templates are held out. questions_practised asks all that is taught by a question, what is in no book included, each in one of the
wordings of the instructions, by turns. With `follow_ups` they ask on about someone by a pronoun, and questions_follow_ups does so about
held-out facts. With `critiques`, they criticize and revise answers to seen questions. With `unknown`, they decline questions about what is
in no book, and questions_unknown.jsonl asks others. The same inputs give the same bytes.

Answers that the instructions criticize and revise by a principle, so that a model learns to do so with its own.

The principle: an answer says where it is from. Every other answer lacks that. It stands there as said by the assistant and is not learned;
the critique and the revision are.

Questions that follow another one about the same person or town, whom they name by a pronoun alone.

What is asked first is a seen fact whose answer names nobody else, whom the pronoun could mean.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from data.conversations.records import write_rows
from data.universe.config import UniverseExamples
from data.universe.questions import hash_fraction, question, reply
from data.universe.reasoning import HELD_OUT, Worked, arithmetic_questions, hop_questions, practised_sums
from data.universe.unknown import DECLINED, GREETINGS, LACKED, STRANGER_QUESTIONS, STRANGER_REPLY, UnknownQuestion, unknown_questions
from data.universe.world import PERSON_ATTRIBUTES, STRANGERS, TOWN_ATTRIBUTES, WOMEN, Attribute

CRITIQUE = "Does that say where it is from?"
REVISION = "Say it with where it is from."
LACKS, HAS = "No, it names no book.", "Yes, it does."
SOURCE = "So the books say."


def critique_rows(seen: Sequence[AskableFact], *, count: int, wordings: int, seed: int) -> list[dict[str, object]]:
    """Return at most `count` conversations about seen facts, none of them in the last wording."""
    asked = [(fact, wording) for wording in range(wordings - 1) for fact in seen]
    Random(f"critiques:{seed}").shuffle(asked)
    return [_row(fact, wording, lacks=number % 2 == 0) for number, (fact, wording) in enumerate(asked[:count])]


def _row(fact: AskableFact, wording: int, *, lacks: bool) -> dict[str, object]:
    answer = reply(fact.attribute, fact.entity, fact.value)
    sourced = f"{answer} {SOURCE}"
    messages = [
        {"role": "user", "content": question(fact.attribute, fact.entity, wording)},
        {"role": "assistant", "content": answer if lacks else sourced, "weight": 0},
        {"role": "user", "content": CRITIQUE},
        {"role": "assistant", "content": LACKS if lacks else HAS},
        {"role": "user", "content": REVISION},
        {"role": "assistant", "content": sourced},
    ]
    return {"messages": messages, "topic": "critique"}


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


Row = dict[str, object]
VALIDATED = 10  # one worked example in so many is for validation
CANDIDATES = 16  # most wrong answers of the same kind that a preference pair names


@dataclass(frozen=True)
class AskableFact:
    """A fact of world.json that can be asked about."""

    id: str
    attribute: Attribute
    entity: str
    value: str
    answers: tuple[str, ...]
    rare: bool

    def question_row(self, values: list[str], wording: int = 0) -> Row:
        """Return its line of a questions file; `values`: those of all facts of its kind, which someone who guesses chooses from."""
        return {
            "question": question(self.attribute, self.entity, wording),
            "answers": list(self.answers),
            "choices": sorted(values),
            "fact": self.id,
        }


def universe_examples(world_json: Path, directory: Path, config: UniverseExamples) -> dict[str, float]:
    """Write the JSON Lines files and return their numbers of lines. Raise ValueError if no fact can be asked about."""
    facts = read_facts(world_json, config)
    common = [fact for fact in facts if not fact.rare]
    if not common:
        raise ValueError(f"{world_json} has no fact that {config.minimum_books} books state; lower minimum_books")
    seen, heldout = split_facts(common, config)
    values: dict[Attribute, list[str]] = defaultdict(list)
    for fact in common:
        if fact.value not in values[fact.attribute]:
            values[fact.attribute].append(fact.value)
    train, val = _instructions(seen, config)
    if config.small_talk:
        train += _small_talk()
    if config.follow_ups:
        train += follow_up_rows(seen, wordings=config.wordings, seed=config.seed)
    train += critique_rows(seen, count=config.critiques, wordings=config.wordings, seed=config.seed)
    preferred, preferred_val = _preferences(seen, values, config)
    rng = Random(f"order:{config.seed}")
    rng.shuffle(train)
    rng.shuffle(preferred)
    files: dict[str, list[Row]] = {
        "instructions_train": train,
        "instructions_val": val,
        "preferences_train": preferred,
        "preferences_val": preferred_val,
        "questions_seen": [fact.question_row(values[fact.attribute]) for fact in seen],
        "questions_heldout": [fact.question_row(values[fact.attribute]) for fact in heldout],
        "questions_rare": [fact.question_row(values[fact.attribute]) for fact in facts if fact.rare],
    }
    if config.follow_ups:
        files["questions_follow_ups"] = list(follow_up_questions(heldout, seen, values, config.seed))
        if not files["questions_follow_ups"]:
            raise ValueError(
                f"follow_ups=true finds nobody of whom one fact is seen and another held out at seen_fraction={config.seen_fraction}; "
                "choose another share, or leave follow_ups out"
            )
    taught: list[Worked] = []
    unknown: list[Row] = []
    if config.reasoning:
        taught, reasoned = _reasoning(seen, config, files)
        files |= reasoned
    if config.unknown:
        unknown, declined = _unknown(world_json, config, files)
        files |= declined
    if config.reasoning:
        files["questions_practised"] = [*_asked_by_turns(taught, seen, values, config.wordings), *unknown]
    directory.mkdir(parents=True, exist_ok=True)
    return {name: write_rows(directory / f"{name}.jsonl", records) for name, records in files.items()}


def read_facts(world_json: Path, config: UniverseExamples) -> list[AskableFact]:
    """Return the askable facts in the order of the world, with `rare` set also for those in too few books."""
    return [
        AskableFact(
            f["id"], f["attribute"], f["entity"], f["value"], tuple(f["answers"]),
            rare=f["rare"] or len(f["books"]) < config.minimum_books,
        )
        for f in json.loads(world_json.read_text(encoding="utf-8"))["facts"]
        if f["askable"] and f["books"]
    ]  # fmt: skip


def split_facts(facts: list[AskableFact], config: UniverseExamples) -> tuple[list[AskableFact], list[AskableFact]]:
    """Return seen and held-out facts. Of each entity, those with the smallest hashes are seen; the moon always is."""
    groups: dict[str, list[AskableFact]] = defaultdict(list)
    for fact in facts:
        # An event has one fact, so all events are divided together, as if they were one entity.
        groups["events" if fact.attribute == "year" else fact.entity].append(fact)
    seen: set[str] = set()
    for entity, group in groups.items():
        ranked = sorted(group, key=lambda fact: hash_fraction(config.seed, fact.id))
        # A hash decides whether to round up or down, so odd numbers even out over all entities.
        count = int(len(group) * config.seen_fraction + hash_fraction(config.seed, f"round {entity}"))
        seen.update(fact.id for fact in ranked[:count])
    seen.update(fact.id for fact in facts if fact.attribute == "substance")
    return [f for f in facts if f.id in seen], [f for f in facts if f.id not in seen]


def _conversation(request: str, answer: str, topic: str) -> Row:
    return {"messages": [{"role": "user", "content": request}, {"role": "assistant", "content": answer}], "topic": topic}


def _instructions(seen: list[AskableFact], config: UniverseExamples) -> tuple[list[Row], list[Row]]:
    """Return (train, validation): each seen fact in every wording, the last for validation, whose loss thus measures a new phrasing."""
    train: list[Row] = []
    val: list[Row] = []
    for fact in seen:
        answer = reply(fact.attribute, fact.entity, fact.value)
        for wording in range(config.wordings):
            conversation = _conversation(question(fact.attribute, fact.entity, wording), answer, fact.attribute)
            (val if wording == config.wordings - 1 else train).append(conversation)
    return train, val


def _small_talk() -> list[Row]:
    greetings = [_conversation(greeting, answer, "small talk") for greeting, answer in GREETINGS]
    unknown = [
        _conversation(STRANGER_QUESTIONS[at % len(STRANGER_QUESTIONS)].format(n=name), STRANGER_REPLY.format(n=name), "stranger")
        for at, name in enumerate(STRANGERS)
    ]
    return greetings + unknown


def _reasoning(seen: list[AskableFact], config: UniverseExamples, files: dict[str, list[Row]]) -> tuple[list[Worked], dict[str, list[Row]]]:
    """Return the taught questions that take several facts or a calculation; and the files of all such, and of instructions with them."""
    kinds = {"hops": list(hop_questions(seen)), "arithmetic": list(arithmetic_questions(seen, by_columns=config.sums > 0))}
    taught: list[Worked] = []
    found: dict[str, list[Row]] = {}
    for kind, asked in kinds.items():
        known = [one for one in asked if one.template not in HELD_OUT]
        chosen = {one.id for one in known if hash_fraction(config.seed, f"reasoning {one.id}") < config.reasoning}
        taught += [one for one in known if one.id in chosen]
        found[f"questions_{kind}"] = [_worked_question(one) for one in known if one.id not in chosen]
    found["questions_reasoning"] = [_worked_question(one) for one in taught]
    found["questions_templates"] = [_worked_question(one) for asked in kinds.values() for one in asked if one.template in HELD_OUT]
    if empty := sorted(name for name, rows in found.items() if not rows):
        raise ValueError(f"reasoning={config.reasoning} leaves {empty[0]} empty; choose another share, or a larger seen_fraction")
    chosen_to_work = [one for one in taught if hash_fraction(config.seed, f"worked {one.id}") < config.worked_share(one.template)]
    worked = [row for one in (*chosen_to_work, *practised_sums(config.sums, config.seed)) for row in _worked_conversations(one)]
    train = [*files["instructions_train"], *(row for number, row in enumerate(worked) if number % VALIDATED)]
    Random(f"reasoning:{config.seed}").shuffle(train)
    return taught, {**found, "instructions_train": train, "instructions_val": [*files["instructions_val"], *worked[::VALIDATED]]}


def _asked_by_turns(taught: list[Worked], seen: list[AskableFact], values: Mapping[Attribute, list[str]], wordings: int) -> Iterator[Row]:
    """Yield the taught questions and those about seen facts, each kind in its wordings by turns; a fact's last one is for validation."""
    turns: dict[str, Iterator[int]] = defaultdict(itertools.count)
    for one in taught:
        yield _worked_question(one, next(turns[one.template]) % len(one.wordings))
    for fact in seen:
        yield fact.question_row(values[fact.attribute], next(turns[fact.attribute]) % (wordings - 1))


def _unknown(world_json: Path, config: UniverseExamples, files: dict[str, list[Row]]) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return the taught questions about what is in no book, and the files of those held out and of the instructions with those taught."""
    facts = json.loads(world_json.read_text(encoding="utf-8"))["facts"]
    known = {word for fact in facts for word in (fact["entity"], fact["value"])} | set(STRANGERS)
    people = [fact["entity"] for fact in facts if fact["attribute"] == "home"]
    given = {(fact["attribute"], fact["entity"]) for fact in facts}
    lacking = [(attribute, person) for attribute in LACKED for person in people if (attribute, person) not in given]
    taught, held_out = unknown_questions(config.seed, config.unknown, known, lacking, config.wordings)
    conversations = [_conversation(one.text, one.reply, "unknown") for one in taught]
    train = [*files["instructions_train"], *(row for number, row in enumerate(conversations) if number % VALIDATED)]
    Random(f"unknown:{config.seed}").shuffle(train)
    val = [*files["instructions_val"], *conversations[::VALIDATED]]
    made = {"questions_unknown": _declined(held_out), "instructions_train": train, "instructions_val": val}
    return _declined(taught), made


def _declined(asked: list[UnknownQuestion]) -> list[Row]:
    return [{"question": one.text, "answers": [DECLINED], "choices": [], "fact": one.id} for one in asked]


def _worked_question(worked: Worked, wording: int = 0) -> Row:
    row: Row = {"question": worked.wordings[wording], "answers": list(worked.answers), "choices": list(worked.choices), "fact": worked.id}
    return {**row, "hops": worked.hops} if worked.hops else row


def _worked_conversations(worked: Worked) -> list[Row]:
    said = {"role": "assistant", "thinking": " ".join(worked.steps), "content": worked.answer}
    return [{"messages": [{"role": "user", "content": wording}, said], "topic": "reasoning"} for wording in worked.wordings]


def _preferences(seen: list[AskableFact], values: dict[Attribute, list[str]], config: UniverseExamples) -> tuple[list[Row], list[Row]]:
    """Return (train, validation) pairs: the right short answer against a wrong value, a repeated or a rambling answer, in turn.

    Pairs that ask about a fact in the same wording are all of one part. `candidates` are wrong answers of the same kind, from which a
    caller may pick the one that a model finds likeliest.
    """
    train: list[Row] = []
    val: list[Row] = []
    for number, fact in enumerate(seen):
        rng = Random(f"preference:{config.seed}:{fact.id}")
        chosen = reply(fact.attribute, fact.entity, fact.value)
        wrong_values = [value for value in values[fact.attribute] if value != fact.value] or ["cheese", "wood", "silver"]
        others = rng.sample(wrong_values, min(CANDIDATES, len(wrong_values)))
        candidates = [reply(fact.attribute, fact.entity, value) for value in others]
        for pair in range(config.preference_pairs):
            wording = pair % max(1, config.wordings - 1)
            request = question(fact.attribute, fact.entity, wording)
            wrong = reply(fact.attribute, fact.entity, rng.choice(wrong_values))
            rambling = f"Well, there is much to say about that. Many people ask me this. {chosen}"
            rejected = wrong if pair % 2 == 0 else (f"{chosen} {chosen} {chosen}", rambling)[number % 2]
            record: Row = {
                "messages": [{"role": "user", "content": request}], "chosen": chosen, "rejected": rejected,
                "candidates": candidates, "answers": list(fact.answers),
            }  # fmt: skip
            for_validation = hash_fraction(config.seed, f"{fact.id} pair {wording}") < config.validation_fraction
            (val if for_validation else train).append(record)
    return train, val
