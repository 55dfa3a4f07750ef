"""The report says what each step of tuning was for, whether it got there, and what its gate said."""

from __future__ import annotations

from typing import Any

from tasks.reporting.headline import headline_metrics
from tasks.reporting.summary import RunSummary
from tests.tasks.reporting.example_run import RunMaker

BOUND = "beats before: 1.5"


def _examined(maker: RunMaker, step: str, before: float, after: float, **told: Any) -> None:
    figures = {"before": before, "after": after, "gain": after - before}
    words = {"measure": "reward", "title": "reward of replies", "unit": "weighted rewards", "counted": "questions"}
    interval = {"gain_low": after - before - 0.1, "gain_high": after - before + 0.1}
    summary = {**words, "lower_is_better": False, "confidence": 0.95, "units": 1200, **figures, **interval, **told}
    maker.made(f"examine.{step}", {"summary.json": summary}, metrics=figures)


def test_each_step_is_shown_with_its_measure_the_interval_of_its_gain_and_its_verdict(maker: RunMaker) -> None:
    _examined(maker, "grpo", 1.5, 1.75)
    maker.gate("grpo", ("after.aim.reward", "1.75", BOUND, "+0.15", "passed"))
    _examined(maker, "ppo", 1.75, 1.25)
    maker.gate("ppo", ("after.aim.reward", "1.25", BOUND, "-0.6", "FAILED: is not certain"), overruled="for the sake of the test")
    _examined(maker, "sft", 2.5, 2.0, lower_is_better=True, title="loss of answers")
    shown = maker.page().sections["aims"]
    assert "What tuning was for" in shown
    assert "grpo reward of replies; higher is better weighted rewards 1.5 1.75 0.25 (0.15 to 0.35) 1,200 questions passed" in shown
    assert "1.75 1.25 -0.5 (-0.6 to -0.4) 1,200 questions failed, overruled" in shown
    assert "loss of answers; lower is better" in shown and "not judged" in shown


def test_a_run_whose_steps_have_no_gate_has_no_such_section(maker: RunMaker) -> None:
    maker.made("tune.sft", {"history.jsonl": [{"step": 1, "loss": 0.7}]}, config={"seed": 1, "train": {"kind": "sft", "steps": 1}})
    assert "aims" not in maker.page().sections


def test_what_a_step_was_for_stands_for_the_run_where_runs_are_compared(maker: RunMaker) -> None:
    _examined(maker, "grpo", 1.5, 1.75)
    maker.gate("grpo", ("after.aim.reward", "1.75", BOUND, "+0.15", "passed"))
    found = headline_metrics(RunSummary.of(maker.run).results)
    assert found == {"examine.grpo.before": 1.5, "examine.grpo.after": 1.75, "examine.grpo.gain": 0.25, "gate.grpo.passed": 1.0}
