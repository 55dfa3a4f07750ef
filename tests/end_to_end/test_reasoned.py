"""Worked examples with thinking, then rewards on questions that take reasoning: each set of questions is asked before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

from flows.services.home import home
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("reasoned.yaml"))
SETS = ("reasoning", "hops", "arithmetic", "templates")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reasoned(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("reasoned")) as finished:
        yield finished


def test_the_model_thinks_in_the_markers_and_its_answer_follows(reasoned: FinishedRun) -> None:
    replies = [json.loads(line) for line in (reasoned.folder("evaluate.chat") / "answers_reasoning.jsonl").read_text().splitlines()]
    thinking = mean(reply["reply"].lstrip().startswith("<think>") and "</think>" in reply["reply"] for reply in replies)
    print(f"{thinking:.0%} of the replies think and answer; the first: {replies[0]['reply']!r}")
    assert thinking > 0.8


def test_rewards_raise_the_share_of_right_answers_and_the_verifier_agrees(reasoned: FinishedRun) -> None:
    lines = [json.loads(line) for line in (reasoned.folder("tune.grpo") / "history.jsonl").read_text().splitlines()]
    third = len(lines) // 3

    def thirds(name: str) -> tuple[float, float]:
        return mean(line[name] for line in lines[:third]), mean(line[name] for line in lines[-third:])

    for name in ("reward_answer", "verified", "informative", "entropy", "reply_tokens"):
        print("{}: first third {:.2f}, last {:.2f}".format(name, *thirds(name)))
    before, after = (reasoned.artifacts[f"evaluate.{name}"].metrics for name in ("sft", "chat"))
    for name in (f"questions.{name}" for name in SETS):
        print(f"{name}: {before[name]:.2f} -> {after[name]:.2f} of {after[f'{name}_count']:.0f}")
    for name in ("reward_answer", "verified"):
        assert thirds(name)[1] > thirds(name)[0], name
    assert after["questions.reasoning"] >= before["questions.reasoning"]


def test_what_is_in_no_book_is_declined_and_what_is_known_is_not(reasoned: FinishedRun) -> None:
    metrics = reasoned.artifacts["evaluate.sft"].metrics
    print({name: round(metrics[f"questions.{name}"], 3) for name in ("unknown", "seen", "seen_declined", "heldout", "heldout_declined")})
    assert metrics["questions.unknown"] > 0.5 and metrics["questions.seen_declined"] < 0.2


def test_the_report_shows_replies_with_their_rewards(reasoned: FinishedRun) -> None:
    page = (home() / "reports" / "reasoned.html").read_text(encoding="utf-8")
    assert "replies of the first and the last cycle" in page and "each reward" in page and "several hops" in page
