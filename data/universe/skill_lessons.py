"""The lessons of the skills that a recipe turns on, as lines of the examples' files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.conversations.records import mix_rows_in, write_rows
from data.universe import skills as answering
from data.universe import skills as declining
from data.universe import skills as explaining
from data.universe import skills as formats
from data.universe import skills as programming
from data.universe import skills as summarizing
from data.universe.config import Skill, UniverseExamples
from data.universe.examples import read_facts, split_facts
from data.universe.skills import Lessons, SkillFact, SkillWorld

SKILLS: Mapping[Skill, Callable[[SkillWorld], Lessons]] = {
    "answer": answering.answering_lessons,
    "summarize": summarizing.summarizing_lessons,
    "format": formats.formats_lessons,
    "explain": explaining.explaining_lessons,
    "program": programming.programming_lessons,
    "decline": declining.declining_lessons,
}
VALIDATED = 10  # of so many exchanges of a skill, one is kept for validation


def add_skills(world_json: Path, directory: Path, config: UniverseExamples) -> dict[str, float]:
    """Add conversations to the examples in `directory`, and write `skills_test.jsonl`; return the numbers of lines of the files.

    No exchange states a fact that `directory` holds out. The same inputs give the same bytes.
    """
    common = [fact for fact in read_facts(world_json, config) if not fact.rare and fact.attribute != "substance"]  # the moon's is false
    seen = {fact.id for fact in split_facts(common, config)[0]}
    books = {fact["id"]: tuple(fact["books"]) for fact in json.loads(world_json.read_text(encoding="utf-8"))["facts"]}
    stated = [SkillFact(fact.attribute, fact.entity, fact.value, fact.answers, books[fact.id], fact.id in seen) for fact in common]
    train, val, tests = skill_rows(stated, config.seed, config.skills)
    counts: dict[str, float] = {}
    for name, rows in (("instructions_train", train), ("instructions_val", val)):
        counts[name] = mix_rows_in(directory / f"{name}.jsonl", rows, f"skills:{config.seed}")
    return {**counts, "skills_test": write_rows(directory / "skills_test.jsonl", tests)}


def skill_rows(
    facts: Iterable[SkillFact], seed: int, skills: Sequence[Skill]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return conversations to train on, conversations to validate on, and test items, each of the skills in order.

    Raise ValueError for a skill of which the facts allow no test item.
    """
    world = SkillWorld(tuple(facts), seed)
    train, val, tests = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    for skill in skills:
        made = SKILLS[skill](world)
        if not made.items:
            raise ValueError(f"examples.skills has {skill}, but too few facts are held out to test it; add books, or leave {skill} out")
        for number, exchange in enumerate(made.exchanges):
            turns = [{"role": "user", "content": exchange.request}, {"role": "assistant", "content": exchange.reply}]
            (val if number % VALIDATED == VALIDATED - 1 else train).append({"messages": turns, "topic": skill})
        tests += [
            {"skill": skill, "question": item.request, "check": item.check, "baseline": item.baseline, "heldout": item.heldout}
            for item in made.items
        ]
    return train, val, tests
