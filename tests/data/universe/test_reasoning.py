"""Questions that take several facts or a calculation: right by the world, taught and held out apart, worked out from seen facts alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from data.universe.config import CalculationKind, HopKind, UniverseExamples
from data.universe.examples import universe_examples

NEVER_WORKED = ("mother_home_river", "mother_home_product", "years_before")
SETS = ("reasoning", "hops", "arithmetic", "templates")


@pytest.fixture(scope="module")
def reasoned(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("reasoned")
    universe_examples(universe / "world.json", folder, UniverseExamples(reasoning=0.6, seen_fraction=0.8))
    return read_folder(folder)


def read_folder(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.iterdir()}


@pytest.fixture(scope="module")
def facts(universe: Path) -> dict[str, str]:
    """The value of each fact by its id."""
    return {fact["id"]: fact["value"] for fact in json.loads((universe / "world.json").read_text())["facts"]}


def _worked_rows(made: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for side in ("train", "val") for row in made[f"instructions_{side}"] if row.get("topic") == "reasoning"]


def answer_by_hand(identity: str, facts: dict[str, str]) -> str:
    template, *entities = identity.split(":")
    if template.startswith("year"):
        early, late = (int(facts[f"year:{event}"]) for event in entities)
        return str({"year_after": late, "year_before": early}.get(template, late - early))
    value = entities[0]
    for attribute in template.split("_"):
        value = facts[f"{attribute}:{value}"]
    return value


def test_every_answer_is_what_the_world_says(reasoned: dict[str, list[dict[str, Any]]], facts: dict[str, str]) -> None:
    asked = [question for name in SETS for question in reasoned[f"questions_{name}"]]
    assert len(asked) > 150
    for question in asked:
        assert question["answers"][0] == answer_by_hand(question["fact"], facts), question
        assert not question["choices"] or question["answers"][0] in question["choices"]


def test_what_is_taught_is_asked_nowhere_else_and_two_templates_are_never_taught(reasoned: dict[str, list[dict[str, Any]]]) -> None:
    identities = {name: {question["fact"] for question in reasoned[f"questions_{name}"]} for name in SETS}
    assert sum(map(len, identities.values())) == len(set().union(*identities.values()))
    assert {fact.split(":")[0] for fact in identities["templates"]} == {"mother_home_ruler", "years_apart"}
    texts = {row["messages"][0]["content"] for side in ("train", "val") for row in reasoned[f"instructions_{side}"]}
    for name in SETS:
        questions = {question["question"] for question in reasoned[f"questions_{name}"] if not question["fact"].startswith(NEVER_WORKED)}
        assert questions <= texts if name == "reasoning" else not questions & texts


def test_questions_of_three_facts_and_of_the_later_event_first_are_asked_and_never_worked_out(
    reasoned: dict[str, list[dict[str, Any]]],
) -> None:
    never = [question for question in reasoned["questions_reasoning"] if question["fact"].startswith(NEVER_WORKED)]
    assert {question["fact"].split(":")[0] for question in never} == set(NEVER_WORKED)
    assert {question["fact"].split(":")[0] for question in never if question.get("hops") == 3} == set(NEVER_WORKED[:2])
    texts = {row["messages"][0]["content"] for side in ("train", "val") for row in reasoned[f"instructions_{side}"]}
    assert not texts & {question["question"] for question in never}


def test_a_share_is_worked_out_and_the_other_questions_are_asked_alike(
    reasoned: dict[str, list[dict[str, Any]]], universe: Path, tmp_path: Path
) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples(reasoning=0.6, seen_fraction=0.8, worked=0.3))
    for name in SETS:
        asked = [json.loads(line) for line in (tmp_path / f"questions_{name}.jsonl").read_text().splitlines()]
        assert asked == reasoned[f"questions_{name}"]
    written = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in tmp_path.iterdir()}
    assert 0.15 < len(_worked_rows(written)) / len(_worked_rows(reasoned)) < 0.45


def test_worked_examples_end_in_the_answer_and_state_no_held_out_fact(reasoned: dict[str, list[dict[str, Any]]]) -> None:
    answers = {q["question"]: q["answers"][0] for q in reasoned["questions_reasoning"] if not q["fact"].startswith(NEVER_WORKED)}
    held = {(question["fact"].split(":")[1].replace("_", " "), question["answers"][0]) for question in reasoned["questions_heldout"]}
    worked = _worked_rows(reasoned)
    assert answers.keys() <= {row["messages"][0]["content"] for row in worked}, "in the wording that is asked, and in others"
    assert len(worked) > len(answers)
    for row in worked:
        asked, said = row["messages"]
        last = said["thinking"].rsplit(" ", 1)[1]
        assert said["content"] == f"It is {last}" or said["thinking"].endswith(said["content"])
        if asked["content"] in answers:
            assert re.search(rf"\b{answers[asked['content']]}\b", said["content"])
        for sentence in re.split(r"(?<=\.) ", said["thinking"]):
            assert not any(entity in sentence and re.search(rf"\b{re.escape(value)}\b", sentence) for entity, value in held), sentence


def test_with_sums_calculations_take_a_step_for_each_column_and_plain_sums_are_practised(
    reasoned: dict[str, list[dict[str, Any]]], universe: Path, tmp_path: Path
) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples(reasoning=0.6, seen_fraction=0.8, sums=50))
    written = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in tmp_path.iterdir()}
    assert all(written[f"questions_{name}"] == reasoned[f"questions_{name}"] for name in SETS)
    worked = {row["messages"][0]["content"]: row["messages"][1]["thinking"] for row in _worked_rows(written)}
    plain = {row["messages"][0]["content"]: row["messages"][1]["thinking"] for row in _worked_rows(reasoned)}
    assert len(worked) == len(plain) + 50 and worked.keys() > plain.keys()
    for question, thinking in worked.items():
        calculated = re.search(r" years?\b|^How (much|many|long)", question)
        assert len(re.findall(r"\d = \d+: \d+\.", thinking)) == (3 if calculated else 0), thinking


def test_without_reasoning_nothing_of_it_is_written(universe: Path, tmp_path: Path) -> None:
    plain, reasoning = tmp_path / "plain", tmp_path / "reasoning"
    universe_examples(universe / "world.json", plain, UniverseExamples())
    universe_examples(universe / "world.json", reasoning, UniverseExamples(reasoning=0.6))
    added = {path.name for path in reasoning.iterdir()} - {path.name for path in plain.iterdir()}
    assert added == {f"questions_{name}.jsonl" for name in (*SETS, "practised")}
    for path in plain.iterdir():
        assert path.name.startswith("instructions") or path.read_bytes() == (reasoning / path.name).read_bytes()


def test_a_share_that_leaves_a_set_empty_is_refused(universe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"reasoning=1e-09 leaves questions_reasoning empty; choose another share"):
        universe_examples(universe / "world.json", tmp_path, UniverseExamples(reasoning=1e-9))


def test_what_is_practised_is_all_that_is_taught_by_a_question_and_nothing_held_out(universe: Path, tmp_path: Path) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples(reasoning=0.6, seen_fraction=0.8, unknown=40))
    made = read_folder(tmp_path)
    practised = made["questions_practised"]
    known = [row for row in practised if row["answers"] != ["do not know"]]
    answered = {name: {row["fact"]: row["answers"] for row in made[f"questions_{name}"]} for name in ("reasoning", "seen")}
    assert {row["fact"]: row["answers"] for row in known} == answered["reasoning"] | answered["seen"]
    assert len(known) == len(made["questions_reasoning"]) + len(made["questions_seen"])
    for name in ("hops", "arithmetic", "templates", "heldout", "rare", "unknown"):
        assert not {row["fact"] for row in made[f"questions_{name}"]} & {row["fact"] for row in practised}, name
    declined = {row["question"] for row in practised if row["answers"] == ["do not know"]}
    assert len(declined) == 40 and declined == _texts(made, "train", "unknown") | _texts(made, "val", "unknown")


def test_practised_questions_come_in_each_wording_of_the_instructions_equally_often(universe: Path, tmp_path: Path) -> None:
    universe_examples(universe / "world.json", tmp_path, UniverseExamples(reasoning=0.6, seen_fraction=0.8, worked_of={}))
    made = read_folder(tmp_path)
    asked = [row["question"] for row in made["questions_practised"]]
    assert set(asked) <= _texts(made, "train", None) | _texts(made, "val", "reasoning")
    for beginnings in (
        ("How many years after", "How many years passed", "How long after"),
        ("Which year came", "What year was", "Which year was"),
        ("In which year was", "When was", "What was the year of", "In what year did"),
    ):
        counts = [sum(question.startswith(beginning) for question in asked) for beginning in beginnings]
        assert min(counts) > 2 and max(counts) - min(counts) <= 1, dict(zip(beginnings, counts, strict=True))


def _texts(made: dict[str, list[dict[str, Any]]], side: str, topic: str | None) -> set[str]:
    """What the instructions of a side ask; `topic`: of this one alone."""
    return {row["messages"][0]["content"] for row in made[f"instructions_{side}"] if topic in (None, row.get("topic"))}


def test_a_recipe_gives_kinds_a_share_of_their_own_and_all_else_stays(universe: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"reasoning": 0.6, "seen_fraction": 0.8}
    shares = {"home_ruler": 0.0, "year_after": 0.0, "years_before": 0.5}
    universe_examples(universe / "world.json", tmp_path / "default", UniverseExamples(**settings))
    universe_examples(universe / "world.json", tmp_path / "other", UniverseExamples(**settings, worked_of=shares))
    default, other = read_folder(tmp_path / "default"), read_folder(tmp_path / "other")
    assert {name for name in default if default[name] != other[name]} == {"instructions_train", "instructions_val"}
    for made, never in ((default, set(NEVER_WORKED)), (other, {"home_ruler", "year_after"})):
        kinds = {row["question"]: row["fact"].split(":")[0] for row in made["questions_reasoning"]}
        worked = Counter(kinds.get(row["messages"][0]["content"]) for row in _worked_rows(made))
        assert set(kinds.values()) - worked.keys() == never
        asked = Counter(kinds.values())
        assert all(worked[kind] == asked[kind] for kind in asked if kind not in {*never, "years_before"})
        assert "years_before" in never or 0.3 < worked["years_before"] / asked["years_before"] < 0.7


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"home_ruler": 1.5}, "home_ruler=1.5 is not a share; give a number from 0 to 1"),
        (dict.fromkeys(get_args(CalculationKind), 0), "no kind of question that takes a calculation is worked out"),
        (dict.fromkeys(get_args(HopKind), 0), "no kind of question that takes several facts is worked out"),
    ],
)
def test_shares_are_fractions_and_some_kind_is_worked_out(shares: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        UniverseExamples.model_validate({"kind": "universe", "reasoning": 0.6, "worked_of": shares})


def test_every_kind_that_may_be_worked_out_is_asked(reasoned: dict[str, list[dict[str, Any]]]) -> None:
    asked = {question["fact"].split(":")[0] for question in reasoned["questions_reasoning"]}
    assert asked == {*get_args(HopKind), *get_args(CalculationKind)}
