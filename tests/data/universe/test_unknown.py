"""Questions about what is in no book: nothing that they ask about exists, and what is taught is not what is asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data.universe.config import UniverseExamples
from data.universe.examples import universe_examples

COUNT = 60


@pytest.fixture(scope="module")
def declined(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("unknown")
    universe_examples(universe / "world.json", folder, UniverseExamples(unknown=COUNT))
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.iterdir()}


def taught(declined: dict[str, list[dict[str, Any]]]) -> list[list[dict[str, str]]]:
    rows = declined["instructions_train"] + declined["instructions_val"]
    return [row["messages"] for row in rows if row.get("topic") == "unknown"]


def test_nothing_that_is_asked_is_known(declined: dict[str, list[dict[str, Any]]], universe: Path, clean: dict[str, str]) -> None:
    facts = {fact["id"] for fact in json.loads((universe / "world.json").read_text())["facts"]}
    text = "\n".join(clean.values())
    for question in declined["questions_unknown"]:
        attribute, entity = question["fact"].removeprefix("unknown_").split(":")
        assert f"{attribute}:{entity.removeprefix('the ').replace(' ', '_')}" not in facts
        assert attribute in ("pet", "mother") or entity not in text, question


def test_half_is_taught_to_decline_and_the_other_half_is_asked_about_other_names(declined: dict[str, list[dict[str, Any]]]) -> None:
    said, asked = taught(declined), declined["questions_unknown"]
    assert len(said) == len(asked) == COUNT and all("do not know" in turns[1]["content"] for turns in said)
    names = {question["fact"].split(":")[1] for question in asked if not question["fact"].startswith(("unknown_pet", "unknown_mother"))}
    assert not any(name in turns[0]["content"] for turns in said for name in names)
    sorts = Counter(question["fact"].split(":")[0] for question in asked)
    assert sorts["unknown_year"] >= 10 and sorts["unknown_pet"] + sorts["unknown_mother"] >= 10


def test_more_than_can_be_asked_is_refused(universe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown=400 is more than the \d+ questions"):
        universe_examples(universe / "world.json", tmp_path, UniverseExamples(unknown=400))
