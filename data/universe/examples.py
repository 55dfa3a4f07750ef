"""Instructions, preferences and questions from the world's truth.

Guarantees: of each person's and each town's facts about `seen_fraction` are seen, chosen by a stable hash, so the same
entities stand on both sides; a held-out fact is asked or stated in no instruction and no preference pair, chosen or
rejected. A fact told in fewer than `minimum_books` books, or in one alone, is asked in questions_rare.jsonl only. Same
inputs, same bytes. Raises ValueError if no fact is left to ask.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

from data.universe.config import UniverseExamples
from data.universe.names import STRANGERS
from data.universe.questions import question, reply
from data.universe.small_talk import GREETINGS, STRANGER_QUESTIONS, STRANGER_REPLY
from data.universe.world import Attribute

Record = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """A fact of world.json that can be asked about."""

    id: str
    attribute: Attribute
    entity: str
    value: str
    answers: tuple[str, ...]
    rare: bool

    def record(self) -> Record:
        """The line of a questions file."""
        return {
            "question": question(self.attribute, self.entity, 0),
            "answers": list(self.answers),
            "fact": self.id,
        }


def universe_examples(world_json: Path, directory: Path, config: UniverseExamples) -> dict[str, float]:
    """Write the seven jsonl files of the conversations contract (questions_rare.jsonl beside the six) and count them."""
    facts = read_facts(world_json, config)
    common = [fact for fact in facts if not fact.rare]
    if not common:
        raise ValueError(f"{world_json} has no fact told in {config.minimum_books} books; lower minimum_books")
    seen, held = divide(common, config)
    values: dict[Attribute, list[str]] = defaultdict(list)
    for fact in common:
        if fact.value not in values[fact.attribute]:
            values[fact.attribute].append(fact.value)
    train, val = _instructions(seen, config)
    if config.small_talk:
        train += _small_talk()
    preferred, preferred_val = _preferences(seen, values, config)
    rng = Random(f"order:{config.seed}")
    rng.shuffle(train)
    rng.shuffle(preferred)
    files: dict[str, list[Record]] = {
        "instructions_train": train,
        "instructions_val": val,
        "preferences_train": preferred,
        "preferences_val": preferred_val,
        "questions_seen": [fact.record() for fact in seen],
        "questions_heldout": [fact.record() for fact in held],
        "questions_rare": [fact.record() for fact in facts if fact.rare],
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, records in files.items():
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (directory / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    return {name: float(len(records)) for name, records in files.items()}


def read_facts(world_json: Path, config: UniverseExamples) -> list[Asked]:
    """The askable facts, in the order of the world; rare ones marked."""
    return [
        Asked(
            f["id"], f["attribute"], f["entity"], f["value"], tuple(f["answers"]),
            rare=f["rare"] or len(f["books"]) < config.minimum_books,
        )
        for f in json.loads(world_json.read_text(encoding="utf-8"))["facts"]
        if f["askable"] and f["books"]
    ]  # fmt: skip


def divide(facts: list[Asked], config: UniverseExamples) -> tuple[list[Asked], list[Asked]]:
    """Seen and held-out facts: within each entity, those with the smallest hashes are seen. The moon is always seen."""
    groups: dict[str, list[Asked]] = defaultdict(list)
    for fact in facts:
        # Events have one fact each and are divided among themselves, as one entity would be.
        groups["events" if fact.attribute == "year" else fact.entity].append(fact)
    seen: set[str] = set()
    for entity, group in groups.items():
        ranked = sorted(group, key=lambda fact: _unit(config.seed, fact.id))
        # The hash decides which way a fraction is rounded, so that odd groups balance over all entities.
        count = int(len(group) * config.seen_fraction + _unit(config.seed, f"round {entity}"))
        seen.update(fact.id for fact in ranked[:count])
    seen.update(fact.id for fact in facts if fact.attribute == "substance")
    return [f for f in facts if f.id in seen], [f for f in facts if f.id not in seen]


def _unit(seed: int, text: str) -> float:
    """A stable number in [0, 1) for a text."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:6], "big") / 2**48


def _turn(asked: str, answer: str, topic: str) -> Record:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], "topic": topic}


def _instructions(seen: list[Asked], config: UniverseExamples) -> tuple[list[Record], list[Record]]:
    """Each seen fact in every wording; the last wording goes to validation, so its loss measures another phrasing."""
    train: list[Record] = []
    val: list[Record] = []
    for fact in seen:
        answer = reply(fact.attribute, fact.entity, fact.value)
        for wording in range(config.wordings):
            turn = _turn(question(fact.attribute, fact.entity, wording), answer, fact.attribute)
            (val if wording == config.wordings - 1 else train).append(turn)
    return train, val


def _small_talk() -> list[Record]:
    greetings = [_turn(said, answer, "small talk") for said, answer in GREETINGS]
    unknown = [
        _turn(STRANGER_QUESTIONS[at % len(STRANGER_QUESTIONS)].format(n=name), STRANGER_REPLY.format(n=name), "stranger")
        for at, name in enumerate(STRANGERS)
    ]
    return greetings + unknown


def _preferences(seen: list[Asked], values: dict[Attribute, list[str]], config: UniverseExamples) -> tuple[list[Record], list[Record]]:
    """The right short answer against a wrong value of the same kind, a repeated answer, or a rambling one, in turn."""
    train: list[Record] = []
    val: list[Record] = []
    for number, fact in enumerate(seen):
        rng = Random(f"preference:{config.seed}:{fact.id}")
        chosen = reply(fact.attribute, fact.entity, fact.value)
        wrong_values = [value for value in values[fact.attribute] if value != fact.value] or ["cheese", "wood", "silver"]
        for pair in range(config.preference_pairs):
            asked = question(fact.attribute, fact.entity, pair % max(1, config.wordings - 1))
            wrong = reply(fact.attribute, fact.entity, rng.choice(wrong_values))
            rambling = f"Well, there is much to say about that. Many people ask me this. {chosen}"
            rejected = wrong if pair % 2 == 0 else (f"{chosen} {chosen} {chosen}", rambling)[number % 2]
            record: Record = {
                "messages": [{"role": "user", "content": asked}], "chosen": chosen, "rejected": rejected,
            }  # fmt: skip
            kept_back = _unit(config.seed, f"{fact.id} pair {pair}") < config.validation_fraction
            (val if kept_back else train).append(record)
    return train, val
