"""Instruction tuning, then rewards for right answers: the reward rises, and the gate is one that the model before it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

from flows.services.home import home
from model.evaluation.gate import judge
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("rewarded.yaml"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rewarded(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("rewarded")) as finished:
        yield finished


def test_the_reward_of_sampled_replies_rises(rewarded: FinishedRun) -> None:
    lines = [json.loads(line) for line in (rewarded.folder("tune.grpo") / "history.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in lines]
    quarter = len(rewards) // 4
    print(f"mean reward of the first and the last quarter: {mean(rewards[:quarter]):.2f}, {mean(rewards[-quarter:]):.2f}")
    assert mean(rewards[-quarter:]) > mean(rewards[:quarter]) + 0.2


def test_the_gate_passes_and_fails_the_model_before_rewards(rewarded: FinishedRun, tmp_path: Path) -> None:
    from model.evaluation.evaluate import evaluate

    after = rewarded.artifacts["evaluate.chat"].metrics
    before = evaluate(
        rewarded.folder("tune.sft"), rewarded.folder("tokenizer"), rewarded.folder("pack"), rewarded.folder("examples"), tmp_path,
        rewarded.recipe.evaluate.chat, threads=1,
    )  # fmt: skip
    print(f"seen questions answered right before and after: {before['questions.seen']:.2f}, {after['questions.seen']:.2f}")
    outcomes = [
        judge({f"chat.{name}": value for name, value in found.items()}, rewarded.recipe.gates.chat.bounds) for found in (before, after)
    ]
    assert [all(outcome.passed for outcome in judged) for judged in outcomes] == [False, True]


def test_what_it_learned_from_is_part_of_the_artifact_and_the_report_shows_the_reward(rewarded: FinishedRun) -> None:
    files = {file.path for file in rewarded.artifacts["tune.grpo"].files}
    assert {
        f"rollouts/cycle-{cycle:06d}/{name}" for cycle in range(100) for name in ("shards.json", "00000.arrow", "replies.jsonl")
    } <= files
    asked = {json.loads(line)["question"] for line in (rewarded.folder("examples") / "questions_seen.jsonl").read_text().splitlines()}
    replies = (rewarded.folder("tune.grpo") / "rollouts" / "cycle-000000" / "replies.jsonl").read_text().splitlines()
    assert {json.loads(line)["question"] for line in replies} <= asked and len(replies) == 64
    page = (home() / "reports" / "rewarded.html").read_text(encoding="utf-8")
    assert "Reinforcement learning: reward of the replies that it sampled" in page
