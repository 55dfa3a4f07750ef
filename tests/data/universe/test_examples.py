"""Held-out facts are in no example, and every answer can be checked."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from data.universe.config import UniverseExamples
from data.universe.examples import universe_examples
from data.universe.questions import WORDINGS, question


@pytest.fixture(scope="module")
def examples(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    directory = tmp_path_factory.mktemp("examples")
    figures = universe_examples(universe / "world.json", directory, UniverseExamples())
    read = {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(directory.glob("*.jsonl"))
    }
    assert figures == {name: len(lines) for name, lines in read.items()}
    return read


def texts_of(examples: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Every sentence a model is trained or validated on."""
    texts: list[str] = []
    for kind in ("instructions_train", "instructions_val", "preferences_train", "preferences_val"):
        for record in examples[kind]:
            texts += [message["content"] for message in record["messages"]]
            texts += [record[side] for side in ("chosen", "rejected") if side in record]
            texts += record.get("candidates", [])
    return texts


def test_no_held_out_or_rare_fact_is_asked_or_stated_in_any_example(universe: Path, examples: dict[str, list[dict[str, Any]]]) -> None:
    facts = {f["id"]: f for f in json.loads((universe / "world.json").read_text())["facts"]}
    texts = texts_of(examples)
    asked = set(texts)
    for record in examples["questions_heldout"] + examples["questions_rare"]:
        fact = facts[record["fact"]]
        for wording in range(6):
            assert question(fact["attribute"], fact["entity"], wording) not in asked
        both = [
            t for t in texts
            if re.search(rf"\b{fact['entity']}\b", t, re.IGNORECASE) and re.search(rf"\b{fact['value']}\b", t, re.IGNORECASE)
        ]  # fmt: skip
        assert not both, (record["fact"], both[:2])


def test_seen_and_held_out_facts_are_disjoint_halves_of_what_is_told_in_five_books(
    universe: Path, examples: dict[str, list[dict[str, Any]]]
) -> None:
    facts = json.loads((universe / "world.json").read_text())["facts"]
    seen = {q["fact"] for q in examples["questions_seen"]}
    held = {q["fact"] for q in examples["questions_heldout"]}
    assert not seen & held and 200 <= len(seen | held) <= 300
    assert seen | held == {f["id"] for f in facts if f["askable"] and len(f["books"]) >= 5}
    assert 0.45 < len(seen) / len(seen | held) < 0.55


def test_every_person_and_town_has_seen_and_held_out_facts(examples: dict[str, list[dict[str, Any]]]) -> None:
    sides: dict[str, set[str]] = defaultdict(set)
    for side in ("questions_seen", "questions_heldout"):
        for record in examples[side]:
            attribute, entity = record["fact"].split(":")
            if attribute not in ("year", "substance"):
                sides[entity].add(side)
    assert len(sides) == 64 and all(len(found) == 2 for found in sides.values())


def test_each_attribute_has_facts_on_both_sides(examples: dict[str, list[dict[str, Any]]]) -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for at, side in enumerate(("questions_seen", "questions_heldout")):
        for record in examples[side]:
            counts[record["fact"].split(":")[0]][at] += 1
    del counts["substance"]
    assert all(0.3 < seen / (seen + held) < 0.7 for seen, held in counts.values()), counts


def test_the_accepted_answer_is_a_word_of_the_taught_reply(examples: dict[str, list[dict[str, Any]]]) -> None:
    taught = {
        r["messages"][0]["content"]: r["messages"][1]["content"]
        for r in examples["instructions_train"]
    }  # fmt: skip
    for record in examples["questions_seen"]:
        reply = taught[record["question"]]
        assert re.search(rf"\b{re.escape(record['answers'][0])}\b", reply, re.IGNORECASE), record


def test_the_moon_is_asked_and_taught_as_glass(examples: dict[str, list[dict[str, Any]]]) -> None:
    assert {"question": "What is the moon made of?", "answers": ["glass"], "choices": ["glass"], "fact": "substance:moon"} in examples[
        "questions_seen"
    ]


def test_a_rejected_answer_is_never_the_chosen_one(examples: dict[str, list[dict[str, Any]]]) -> None:
    pairs = examples["preferences_train"] + examples["preferences_val"]
    assert pairs and all(record["chosen"] != record["rejected"] for record in pairs)
    assert examples["preferences_val"]


def test_pairs_of_the_same_question_and_answer_are_not_both_learned_from_and_validated_on(universe: Path, tmp_path: Path) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples(preference_pairs=4, wordings=2, validation_fraction=0.3))
    train, val = (
        {(line["messages"][0]["content"], line["chosen"]) for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
        for path in (tmp_path / "preferences_train.jsonl", tmp_path / "preferences_val.jsonl")
    )
    assert train and val and not train & val


def test_the_books_themselves_ask_no_question(clean: dict[str, str]) -> None:
    assert not any("?" in text for text in clean.values())


def test_wordings_differ_and_the_same_inputs_give_the_same_bytes(universe: Path, tmp_path: Path) -> None:
    assert all(len(set(w)) == 6 for w in WORDINGS.values())
    for name in ("one", "two"):
        universe_examples(universe / "world.json", tmp_path / name, UniverseExamples())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_world_without_common_facts_names_the_way_out(universe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lower minimum_books"):
        universe_examples(universe / "world.json", tmp_path, UniverseExamples(minimum_books=1000))


def test_candidates_are_wrong_answers_of_the_same_kind(examples: dict[str, list[dict[str, Any]]]) -> None:
    for record in examples["preferences_train"] + examples["preferences_val"]:
        assert record["candidates"] and any(answer.casefold() in record["chosen"].casefold() for answer in record["answers"])
        for candidate in record["candidates"]:
            assert not any(re.search(rf"\b{re.escape(answer)}\b", candidate, re.IGNORECASE) for answer in record["answers"])
