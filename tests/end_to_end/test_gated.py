"""Steps of tuning behind gates of their own: those that improve what they are for go on, one that ruins it stops the run by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.recipe.loading import load
from flows.services.home import home
from tasks.gate import GateFailed
from tasks.stage.store.journal import Journal
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("gated.yaml"))
# Each update throws the weights about, so nothing is left of what the model could say.
RUINED = ("tuning[1].learning_rate=0.1", "tuning[1].steps=6", "tuning[1].kl_weight=0.0")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gated(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("gated")) as finished:
        yield finished


def test_steps_that_certainly_improve_what_they_are_for_pass(gated: FinishedRun) -> None:
    for step, measure in (("sft", "answer_loss"), ("grpo", "reward")):
        summary = json.loads((gated.folder(f"examine.{step}") / "summary.json").read_text())
        figures = {name: round(summary[name], 3) for name in ("before", "after", "gain", "gain_low", "gain_high")}
        print(f"{step}: {summary['title']} in {summary['unit']}, {summary['units']} {summary['counted']}: {figures}")
        assert summary["measure"] == measure and summary["gain_low"] > 0
        assert gated.artifacts[f"gate.{step}"].metrics["passed"] == 1.0
        rows = (gated.folder(f"examine.{step}") / "rows.jsonl").read_text().splitlines()
        assert len(rows) == summary["units"]


def test_the_report_the_card_and_the_journal_tell_of_them(gated: FinishedRun) -> None:
    page = (home() / "reports" / "gated.html").read_text(encoding="utf-8")
    assert "What tuning was for" in page and "reward of replies to held-out questions" in page
    record = Journal(gated.store).latest("gated")
    assert record is not None and {"gate.grpo.passed", "examine.grpo.before", "examine.grpo.after"} <= set(record.headline)
    card = Path(record.card).read_text(encoding="utf-8")
    assert "gate.sft" in card.replace("\\", "") and "gate.grpo" in card.replace("\\", "")


def test_a_step_that_ruins_what_it_is_for_stops_the_run_by_name(gated: FinishedRun) -> None:
    from flows.flow import pipeline

    with pytest.raises(GateFailed) as stopped:
        pipeline(load(RECIPE, RUINED))
    told = str(stopped.value)
    print(told)
    assert told.startswith("gate/gated-grpo-") and "after.aim.reward" in told
    assert "beats before: " in told and "after.aim.reward: FAILED: is worse by " in told, "whole, below a table that cuts it"
    assert "grpo (reinforcement learning): change the step (such as a lower learning_rate" in told and "its gate.overrule" in told
    record = Journal(gated.store).latest("gated")
    assert record is not None and "gate.grpo" in record.positions and "evaluate.chat" not in record.positions
