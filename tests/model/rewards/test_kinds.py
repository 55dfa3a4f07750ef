"""What each kind of reward counts, besides a right and a concise answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from model.rewards.answers import Question
from model.rewards.kinds import Reply, RewardConfig

REWARD: TypeAdapter[RewardConfig] = TypeAdapter(RewardConfig)
WHERE: Question = {"question": "Where?", "answers": ["Avel", "the town of Avel"], "fact": "f", "choices": ["Avel", "Brin", "Corve"]}
YEARS: Question = {"question": "How many?", "answers": ["12"], "fact": "f"}


def score(settings: dict[str, Any], text: str, question: Question = WHERE, tokens: int = 0) -> float:
    return REWARD.validate_python(settings).build().score(Reply(question, text, True, tokens))


@pytest.mark.parametrize(
    ("text", "right"), [("In Avel.", 1), ("It is Avel, Brin or Corve.", 0), ("Brin. No: avel.", 0), ("Well. It is Avel.", 1), ("Ravel.", 0)]
)
def test_a_sole_answer_names_no_other_choice(text: str, right: float) -> None:
    assert score({"kind": "sole"}, text) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("It is 8, 9, 10, 11, 12, 13.", 0),
        ("It is 12.", 1),
        ("<think>30 - 18 = 12.</think> It is 12.", 1),
        ("12 years, so 12.", 1),
        ("-12", 0),
        ("In 1790 it was 12.", 1),
        ("In 1790.", 0),
    ],
)
def test_a_sole_number_is_the_only_one_that_the_question_did_not_state(text: str, right: float) -> None:
    assert score({"kind": "sole"}, text, {**YEARS, "question": "How many years after 1790?", "choices": []}) == right


@pytest.mark.parametrize(
    ("text", "right"), [("12", 1), ("It was 30 - 18 = 12 years.", 1), ("12 or 13", 0), ("twelve", 0), ("12.0", 1), ("-12", 0), ("", 0)]
)
def test_the_last_number_of_a_reply_is_its_answer(text: str, right: float) -> None:
    assert score({"kind": "number"}, text, YEARS) == right
    assert score({"kind": "number"}, text, WHERE) == 0


@pytest.mark.parametrize(("text", "right"), [("<a>x\ny</a> 3", 1), (" <a></a> 3 ", 1), ("so <a></a> 3", 0), ("<a></a>", 0)])
def test_a_form_is_that_of_the_whole_reply(text: str, right: float) -> None:
    assert score({"kind": "format", "pattern": r"<a>.*</a> \d+"}, text) == right


def test_a_long_reply_costs_ever_more_up_to_one() -> None:
    costs = [score({"kind": "length", "limit": 20, "allowance": 8}, "", tokens=tokens) for tokens in (0, 12, 14, 20, 50)]
    assert costs == pytest.approx([0, 0, -0.25, -1, -1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "format", "pattern": "("}, "is not a regular expression"),
        ({"kind": "length", "limit": 3, "allowance": 4}, "allowance=4 is more than limit=3"),
        ({"kind": "answer", "name": "Right!"}, "String should match pattern"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        REWARD.validate_python(settings)
