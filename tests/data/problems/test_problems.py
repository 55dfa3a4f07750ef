"""Problems that are added to examples: taught, asked and held out apart, and each solved by its own answer."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.problems.config import REFUSED, GymProblems, ProgramProblems
from data.problems.make import HELD_OUT, add_problems, program_rows
from data.shards.gym_scores import score_entry
from model.rewards.answers import Question, read_questions
from model.rewards.kinds import is_solved

PROGRAMS = ProgramProblems(taught=60, asked=60, heldout=30)
installed = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="the extra gym is not installed")


def folder_with_instructions(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        (tmp_path / f"instructions_{part}.jsonl").write_text('{"messages": [], "topic": "other"}\n')
    return tmp_path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def inputs_of(question: Question) -> list[Any]:
    return [trial["inputs"][0] for trial in question["trials"]]


def test_the_program_of_each_problem_is_right_for_its_hidden_inputs_and_none_is_in_the_question(tmp_path: Path) -> None:
    counts = add_problems(folder_with_instructions(tmp_path), PROGRAMS, (), 0)
    assert counts == {"questions_programs": 60, "questions_program_templates": 30, "instructions_train": 55, "instructions_val": 7}
    for name in ("programs", "program_templates"):
        questions = read_questions(tmp_path / f"questions_{name}.jsonl")
        assert all(is_solved(question["answers"][0], question) for question in questions)
        for question in questions:
            assert len(question["trials"]) == 6 and len({str(trial["output"]) for trial in question["trials"]}) >= 3
            assert not any(isinstance(given, list) and str(given) in question["question"] for given in inputs_of(question))


def test_no_problem_is_taught_and_asked_and_templates_held_out_are_in_neither(tmp_path: Path) -> None:
    add_problems(folder_with_instructions(tmp_path), PROGRAMS, (), 0)
    shown = [row for part in ("train", "val") for row in rows(tmp_path / f"instructions_{part}.jsonl")]
    taught = {row["messages"][1]["content"] for row in shown if row["messages"]}
    asked, held = (rows(tmp_path / f"questions_{name}.jsonl") for name in ("programs", "program_templates"))
    assert len(taught) == 60 and not taught & {row["answers"][0] for row in [*asked, *held]}
    assert {row["fact"].partition(":")[0] for row in held} == set(HELD_OUT)
    assert not {row["fact"].partition(":")[0] for row in asked} & set(HELD_OUT)
    assert all(row["books"] == [] for row in [*asked, *held])


def test_words_that_hold_line_ends_of_unicode_stay_one_line(tmp_path: Path) -> None:
    folder = folder_with_instructions(tmp_path)
    told = {"messages": [{"role": "user", "content": "One\u2028two\x85three"}], "topic": "other"}
    for part in ("train", "val"):
        (folder / f"instructions_{part}.jsonl").write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = add_problems(folder, PROGRAMS, (), 0)
    lines = (folder / "instructions_train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == counts["instructions_train"] and told in map(json.loads, lines)


def test_a_seed_gives_the_same_problems_and_another_seed_others() -> None:
    assert program_rows(PROGRAMS) == program_rows(PROGRAMS)
    assert program_rows(PROGRAMS)[1] != program_rows(PROGRAMS.model_copy(update={"seed": 1}))[1]


def test_more_problems_than_the_templates_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.problems.make.HELD_OUT", ("each_minus",))
    with pytest.raises(ValueError, match="heldout are 60 problems, and the templates have 29; lower them"):
        program_rows(ProgramProblems())


@pytest.mark.parametrize("dataset", sorted(REFUSED))
def test_a_data_set_whose_scorer_would_run_the_reply_is_refused_by_name(dataset: str) -> None:
    with pytest.raises(ValidationError, match=f"dataset={dataset} is refused: it"):
        GymProblems(dataset=dataset)


def test_settings_that_follow_from_other_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="settings has seed, which follows from the keys beside it"):
        GymProblems(dataset="chain_sum", settings={"seed": 3})


@installed
def test_problems_of_reasoning_gym_are_known_again_by_its_scorers(tmp_path: Path) -> None:
    datasets = [GymProblems(dataset=name, taught=6, asked=6, heldout=4) for name in ("chain_sum", "spell_backward")]
    counts = add_problems(folder_with_instructions(tmp_path), None, datasets, 0)
    assert (counts["questions_gym"], counts["questions_gym_heldout"]) == (12, 8)
    asked, held = (read_questions(tmp_path / f"questions_{name}.jsonl") for name in ("gym", "gym_heldout"))
    assert not {question["question"] for question in asked} & {question["question"] for question in held}
    for question in asked:
        assert is_solved(question["answers"][0], question) and is_solved(f"<think>\nHm.\n</think>\n\n{question['answers'][0]}\n", question)
        assert not is_solved("no idea", question)


@installed
def test_every_scorer_that_evaluates_a_reply_is_in_the_table_of_those_refused() -> None:
    """The installed library's own source is read: which data set's `score_answer`, or what it calls, mentions eval, exec or parse_expr."""
    import inspect
    import re

    from reasoning_gym.factory import DATASETS

    found = set()
    for name, (dataset, _) in DATASETS.items():
        source = inspect.getsource(inspect.getmodule(dataset) or dataset)
        scoring = inspect.getsource(dataset.score_answer)
        names = re.findall(r"(?:self\.)?(\w+)\(", scoring)
        bodies = [rf"def {call}\(.*?(?=\n    def |\ndef |\nclass |\Z)" for call in names]
        called = [text for body in bodies for text in re.findall(body, source, re.DOTALL)]
        if re.search(r"\b(eval|exec|sympify)\(\s*(?!entry|problem)|(?<!def )\bparse_expr\(\s*answer", "\n".join([scoring, *called])):
            found.add(name)
    assert found <= set(REFUSED), found - set(REFUSED)
    assert {"countdown", "n_queens", "spiral_matrix"} <= found


@installed
@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("coin_flip", "does not come through the reply '1e999999999': it takes 1 second of the processor and more"),
        ("game_of_life_halting", r"pays 1\.00 of 1 for the reply '\\x00'"),
        ("complex_arithmetic", r"pays 1\.00 of 1 for the reply 'nan'"),
        ("chain_sum", ""),
    ],
)
def test_a_data_set_whose_scorer_pays_for_garbage_or_does_not_end_is_refused_by_name(dataset: str, said: str) -> None:
    from data.problems.make import gym_problem

    found = gym_problem(GymProblems(dataset=dataset, most_characters=2000))
    assert re.search(said, found) and f"dataset={dataset}" in found if said else found == ""


@installed
@pytest.mark.slow
def test_every_data_set_is_refused_or_pays_its_answers_and_comes_through_every_reply() -> None:
    """Refused by the table, by the probe, or for what its problems lack; each ends."""
    from reasoning_gym.factory import DATASETS

    from data.problems.make import gym_problem

    refused = {name for name in sorted(set(DATASETS) - set(REFUSED)) if gym_problem(GymProblems(dataset=name, most_characters=5000))}
    assert {"coin_flip", "complex_arithmetic", "game_of_life_halting", "polynomial_equations"} <= refused
    assert not refused & {"chain_sum", "basic_arithmetic", "gcd", "spell_backward", "letter_counting", "syllogism", "word_sorting"}


@installed
def test_a_reply_that_a_scorer_does_not_survive_earns_nothing_and_the_next_is_scored() -> None:
    entry = {"question": "?", "answer": "0.5", "metadata": {"source_dataset": "coin_flip", "num_trials": 1, "difficulty": {}}}
    assert score_entry("1e999999999", entry) == 0.0
    assert score_entry("0.5", entry) == 1.0


@installed
def test_a_data_set_that_is_not_there_or_has_too_few_problems_is_refused() -> None:
    from data.problems.make import gym_rows

    with pytest.raises(ValueError, match="reasoning-gym can't make dataset=chainsum"):
        gym_rows(GymProblems(dataset="chainsum"))
    with pytest.raises(ValueError, match="of at most most_characters=20"):
        gym_rows(GymProblems(dataset="chain_sum", taught=1, asked=2, heldout=1, most_characters=20))
