"""What is taught and what is tested: apart in facts and templates, true to the world, and scored as the rules say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from data.examples.make import make_examples
from data.universe.config import Skill, UniverseExamples, UniverseSource
from data.universe.skills import title_of
from data.universe.write import truth_table, write_universe
from model.evaluation.skills.rules import is_done

SKILLS: tuple[Skill, ...] = get_args(Skill)
Made = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("universe")
    write_universe(folder, UniverseSource(kind="universe", books=40, exact_copies=0, near_editions=0, dirty=False))
    return folder


def examples(universe: Path, output: Path, **settings: Any) -> Made:
    config = UniverseExamples.model_validate({"minimum_books": 2, **settings})
    counts = make_examples([universe], universe / "world.json", output, config)
    made = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in sorted(output.glob("*.jsonl"))}
    assert {name: len(rows) for name, rows in made.items()} == counts
    return made


@pytest.fixture(scope="module")
def made(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return examples(universe, tmp_path_factory.mktemp("examples"), skills=SKILLS)


def taught(made: Made, skill: str) -> list[tuple[str, str]]:
    rows = made["instructions_train"] + made["instructions_val"]
    return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows if row["topic"] == skill]


def test_each_skill_is_taught_and_tested(made: Made) -> None:
    tested = Counter(item["skill"] for item in made["skills_test"])
    assert set(tested) == set(SKILLS) and all(count >= 20 for count in tested.values())
    assert all(len(taught(made, skill)) >= 40 for skill in SKILLS if skill != "answer")


def test_no_test_item_is_taught_nor_asks_in_a_template_that_is(made: Made) -> None:
    """With the names of the world left out, no request of a test is one that is taught."""
    names = sorted({word for fact in universe_words(made) for word in fact}, key=len, reverse=True)

    def template(request: str) -> str:
        for name in names:
            request = request.replace(name, "_")
        return request

    for skill in SKILLS:
        known = {template(request) for request, _ in taught(made, skill)}
        assert not known & {template(item["question"]) for item in made["skills_test"] if item["skill"] == skill}, skill


def universe_words(made: Made) -> list[list[str]]:
    return [
        [str(question["fact"]).partition(":")[2], *question["answers"]]
        for name in ("seen", "heldout")
        for question in made[f"questions_{name}"]
    ]


def test_no_exchange_states_a_held_out_fact(made: Made) -> None:
    held_out = [
        (str(question["fact"]).partition(":")[2].replace("_", " "), question["answers"][0]) for question in made["questions_heldout"]
    ]
    for skill in ("format", "summarize"):
        for request, answer in taught(made, skill):
            for entity, value in held_out:
                if entity in request and skill == "format":
                    assert value not in answer, (request, answer)
                assert skill == "format" or not any(entity in part and value in part for part in answer.split(". ")), (request, answer)


def test_what_is_taught_would_pass_the_rules_of_its_skill(made: Made) -> None:
    makes = next(item["check"]["makes"] for item in made["skills_test"] if item["check"]["rule"] == "cart")
    for request, program in taught(made, "program"):
        words = request.split()
        count = next(int(word) for word in words if word.isdigit())
        goods, town = words[words.index(str(count)) + 1].strip("."), words[-1].strip(".?")
        check = {"rule": "cart", "makes": makes, "town": town, "goods": goods, "count": count, "holds": 5}
        assert is_done(program, check), (request, program)
    declined = [is_done(reply, {"rule": "declines", "phrases": ["will not help"], "wanted": True}) for _, reply in taught(made, "decline")]
    assert 0.2 < sum(declined) / len(declined) < 0.8  # harmless requests of the same look are answered
    for request, reply in taught(made, "format"):
        if "JSON" in request:
            assert is_done(reply, {"rule": "json", "fields": {name: [value] for name, value in json.loads(reply).items()}})


def test_the_baselines_follow_the_form_and_are_seldom_right(made: Made) -> None:
    right: dict[str, list[bool]] = {skill: [] for skill in SKILLS}
    for item in made["skills_test"]:
        right[item["skill"]].append(is_done(item["baseline"], item["check"]))
    shares = {skill: sum(found) / len(found) for skill, found in right.items()}
    assert shares.pop("decline") == 0.5
    assert all(share < 0.35 for share in shares.values()), shares
    assert all(json.loads(item["baseline"]) for item in made["skills_test"] if item["check"]["rule"] == "json")


def test_titles_are_those_of_the_books(universe: Path) -> None:
    titles = {row["path"]: row["title"] for row in truth_table(universe / "truth", "clean")}
    assert len(titles) == 40 and {path: title_of(path) for path in titles} == titles


def test_the_same_inputs_give_the_same_bytes_and_no_skills_give_the_files_of_before(universe: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        examples(universe, tmp_path / name, skills=SKILLS)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    plain = examples(universe, tmp_path / "plain")
    assert "skills_test" not in plain
    topics = {row["topic"] for row in plain["instructions_train"]}
    assert not topics & {*SKILLS}


def test_a_world_too_small_and_a_wording_that_is_taught_are_refused_by_name(universe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skills has answer or decline, which ask in the last of 6 wordings, and wordings=6"):
        UniverseExamples.model_validate({"skills": ["answer"], "wordings": 6})
    with pytest.raises(ValueError, match="skills names format 2 times"):
        UniverseExamples.model_validate({"skills": ["format", "format"]})
