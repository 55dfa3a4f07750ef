"""Answers that are criticized and revised: the revision says where the answer is from, and an answer that lacks that is not learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.universe.config import UniverseExamples
from data.universe.examples import CRITIQUE, HAS, LACKS, REVISION, SOURCE, universe_examples

COUNT = 60


def made(universe: Path, folder: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    universe_examples(universe / "world.json", folder, UniverseExamples(**settings))
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.iterdir()}


@pytest.fixture(scope="module")
def examples(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return made(universe, tmp_path_factory.mktemp("critiques"), critiques=COUNT)


def talks(examples: dict[str, list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    return [row["messages"] for row in examples["instructions_train"] if row.get("topic") == "critique"]


def test_half_of_the_answers_lack_their_source_and_every_revision_has_it(examples: dict[str, list[dict[str, Any]]]) -> None:
    found = talks(examples)
    lacking = [talk for talk in found if SOURCE not in talk[1]["content"]]
    assert len(found) == COUNT and len(lacking) == COUNT // 2
    for talk in found:
        assert [message["content"] for message in (talk[2], talk[4])] == [CRITIQUE, REVISION]
        assert talk[3]["content"] == (LACKS if talk in lacking else HAS)
        assert talk[5]["content"] == (f"{talk[1]['content']} {SOURCE}" if talk in lacking else talk[1]["content"])


def test_the_answer_under_criticism_is_not_learned_and_the_rest_is(examples: dict[str, list[dict[str, Any]]]) -> None:
    for talk in talks(examples):
        assert [message.get("weight", 1) for message in talk if message["role"] == "assistant"] == [0, 1, 1]


def test_they_are_about_seen_facts_in_wordings_that_validation_does_not_use(examples: dict[str, list[dict[str, Any]]]) -> None:
    held_out = {row["question"] for row in examples["questions_heldout"]}
    validated = {row["messages"][0]["content"] for row in examples["instructions_val"]}
    asked = {talk[0]["content"] for talk in talks(examples)}
    assert len(asked) == COUNT and not asked & (held_out | validated)


def test_without_them_the_examples_are_what_they_were_in_another_order(
    universe: Path, tmp_path: Path, examples: dict[str, list[dict[str, Any]]]
) -> None:
    plain = made(universe, tmp_path)
    rest = {name: [row for row in rows if row.get("topic") != "critique"] for name, rows in examples.items()}
    assert {name: sorted(map(json.dumps, rows)) for name, rows in plain.items()} == {
        name: sorted(map(json.dumps, rows)) for name, rows in rest.items()
    }
