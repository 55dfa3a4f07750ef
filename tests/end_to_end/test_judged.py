"""A reward model beside the policy, and PPO by it: the reward rises, the divergence is bounded, and an unrewarded verifier agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

from flows.services.home import home
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("judged.yaml"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judged(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("judged")) as finished:
        yield finished


def test_the_reward_rises_with_the_divergence_bounded_and_the_verifier_agrees(judged: FinishedRun) -> None:
    lines = [json.loads(line) for line in (judged.folder("tune.ppo") / "history.jsonl").read_text().splitlines()]
    quarter = len(lines) // 4

    def ends(name: str) -> tuple[float, float]:
        return mean(line[name] for line in lines[:quarter]), mean(line[name] for line in lines[-quarter:])

    for name in ("reward", "reward_model", "reward_answer", "reward_concise", "verified", "kl", "value_error"):
        print("{}: first quarter {:.3f}, last {:.3f}".format(name, *ends(name)))
    assert ends("reward")[1] > ends("reward")[0] and ends("verified")[1] > ends("verified")[0] and ends("kl")[1] < 10


def test_the_reward_model_tells_held_out_pairs_apart_and_is_no_policy(judged: FinishedRun) -> None:
    metrics = judged.artifacts["tune.reward"].metrics
    print({name: round(metrics[name], 3) for name in ("val_accuracy", "val_confidence", "val_brier")})
    assert metrics["val_accuracy"] > 0.5 and "evaluate.reward" not in judged.artifacts
    assert {file.path for file in judged.artifacts["tune.reward"].files} >= {"model.safetensors", "heads.safetensors"}


def test_the_report_shows_replies_with_the_model_s_score(judged: FinishedRun) -> None:
    page = (home() / "reports" / "judged.html").read_text(encoding="utf-8")
    assert "Reinforcement learning with values: replies of the first and the last cycle" in page and "Reward model: loss" in page
