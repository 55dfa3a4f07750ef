"""Follow-up questions: right by the world, about the one just spoken of, by the right pronoun, and held-out facts stay unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.universe.config import UniverseExamples
from data.universe.examples import universe_examples


@pytest.fixture(scope="module")
def world(universe: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((universe / "world.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("follow_ups")
    universe_examples(universe / "world.json", folder, UniverseExamples(follow_ups=True))
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.iterdir()}


def _rows(made: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for row in made["instructions_train"] if row["topic"] == "follow-up"]


def _named_in(text: str, world: dict[str, Any]) -> set[str]:
    words = set(text.rstrip("?.").replace("'s", "").split())
    return words & {fact["entity"] for fact in world["facts"] if fact["attribute"] in ("home", "ruler")}


def test_the_second_question_names_nobody_and_its_answer_is_about_the_one_named_before(
    made: dict[str, list[dict[str, Any]]], world: dict[str, Any]
) -> None:
    rows = _rows(made)
    assert len(rows) > 150
    for row in rows:
        first, told, second, answer = (message["content"] for message in row["messages"])
        (about,) = _named_in(first, world)
        assert not _named_in(second, world) and about in _named_in(answer, world), row
        values = {fact["value"] for fact in world["facts"] if fact["entity"] == about}
        assert set(told.rstrip(".").split()) & values and set(answer.rstrip(".").split()) & values, row


def test_women_are_she_men_he_and_towns_it(made: dict[str, list[dict[str, Any]]], world: dict[str, Any]) -> None:
    women = {person["name"]: person["woman"] for person in world["people"]}
    pronouns = {True: {"she", "her"}, False: {"he", "his"}, None: {"it", "its", "there"}}
    for row in _rows(made):
        (about,) = _named_in(row["messages"][0]["content"], world)
        used = set(row["messages"][2]["content"].rstrip("?").lower().split())
        assert used & pronouns[women.get(about)], row
        assert not any(used & those for kind, those in pronouns.items() if kind != women.get(about)), row


def test_held_out_facts_are_asked_so_and_stated_nowhere(made: dict[str, list[dict[str, Any]]]) -> None:
    asked, heldout = made["questions_follow_ups"], {row["fact"]: row for row in made["questions_heldout"]}
    assert len(asked) > 80
    seen = {row["question"] for row in made["questions_seen"]}
    for row in asked:
        whole = heldout[row["fact"]]
        assert row["answers"] == whole["answers"] and row["choices"] == whole["choices"]
        assert [said["role"] for said in row["before"]] == ["user", "assistant"] and row["before"][0]["content"] in seen
    held = {(row["fact"].split(":")[1], row["answers"][0]) for row in asked}
    for row in _rows(made):
        for said in row["messages"][1::2]:
            words = set(said["content"].rstrip(".").split())
            assert not any(entity in words and value in words for entity, value in held), row


def test_without_follow_ups_nothing_of_them_is_written(universe: Path, tmp_path: Path) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples())
    assert not (tmp_path / "questions_follow_ups.jsonl").exists()
    assert "follow-up" not in (tmp_path / "instructions_train.jsonl").read_text()


def test_a_share_that_leaves_nobody_to_ask_on_about_is_refused(universe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"follow_ups=true finds nobody .* at seen_fraction=0.001; choose another share"):
        universe_examples(universe / "world.json", tmp_path, UniverseExamples(follow_ups=True, seen_fraction=0.001))
