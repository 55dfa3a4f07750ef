"""Answers for tokens spent: a budget closes the thinking, a vote takes what most attempts say, and tokens are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from model.evaluation.config import ThinkingConfig
from model.evaluation.thinking import Attempt, _elected, attempt, measure_thinking
from model.inference.chat_format import ChatFormat
from model.networks.network import Network
from model.rewards.answers import Question, is_right

QUESTIONS: list[Question] = [{"question": f"Who {verb}?", "answers": ["a", "e"], "fact": verb} for verb in ("walked", "sat", "ran")]
CONFIG = ThinkingConfig(questions="seen", budgets=(0, 6), votes=(3,), answer_tokens=8, temperature=1.0)


@pytest.mark.parametrize("budget", [0, 4])
@pytest.mark.parametrize("number", [None, 1])
def test_thinking_that_a_random_model_never_closes_is_closed_for_it(
    decoder: Network, chat_format: ChatFormat, budget: int, number: int | None
) -> None:
    found = attempt(decoder.decoding(), chat_format, QUESTIONS, budget, CONFIG, number)
    markers = len(chat_format.encode_text("<think>\n")) + len(chat_format.encode_text("\n</think>\n\n"))
    for one in found:
        assert one.text.startswith("<think>") and one.text.count("</think>") == 1
        assert markers < one.tokens <= markers + budget + CONFIG.answer_tokens
    assert found == attempt(decoder.decoding(), chat_format, QUESTIONS, budget, CONFIG, number)


def test_attempts_differ_and_what_they_cost_together_is_counted(decoder: Network, chat_format: ChatFormat, tmp_path: Path) -> None:
    (tmp_path / "questions_seen.jsonl").write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    tries = [attempt(decoder.decoding(), chat_format, QUESTIONS, 6, CONFIG, number) for number in range(3)]
    assert len({one.text for attempts in tries for one in attempts}) > 5
    metrics = measure_thinking(decoder.decoding(), chat_format, tmp_path, CONFIG)
    assert set(metrics) == set(CONFIG.metrics)
    assert metrics["thinking.majority_3_tokens"] == pytest.approx(sum(one.tokens for attempts in tries for one in attempts) / 3)
    elected = [_elected([attempts[place] for attempts in tries]) for place in range(3)]
    right = [is_right(one.text, question["answers"]) for one, question in zip(elected, QUESTIONS, strict=True)]
    assert metrics["thinking.majority_3"] == pytest.approx(sum(right) / 3)


def test_the_majority_decides_by_the_answer_alone() -> None:
    said = [Attempt(f"<think>{n}</think>\n\n{answer} Well.", 9) for n, answer in enumerate(("Ada.", "Bruno.", "bruno.", "Clara."))]
    assert _elected(said) == said[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"budgets": [16, 0]}, "is not in rising order"), ({"votes": [1]}, "attempts from 2"), ({"budgets": [-1]}, "tokens from 0")],
)
def test_budgets_and_votes_that_make_no_curve_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ThinkingConfig.model_validate(settings)


def test_a_context_without_room_for_an_answer_is_refused(decoder: Network, chat_format: ChatFormat) -> None:
    with pytest.raises(ValueError, match=r"answer_tokens=60 do not fit into the context of 64"):
        attempt(decoder.decoding(), chat_format, QUESTIONS, 4, CONFIG.model_copy(update={"answer_tokens": 60}))
