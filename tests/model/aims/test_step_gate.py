"""A step's gate holds only where its own measure is certainly better and it certainly costs no more than its bounds let through."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from model.aims.config import AnyAim
from model.aims.protocol import StepGate
from model.evaluation.gate import Verdict, judge
from model.evaluation.intervals import Units
from model.evaluation.metrics import metric_of
from model.training.config import (
    DpoConfig,
    GrpoConfig,
    KtoConfig,
    OrpoConfig,
    PpoConfig,
    RewardModelConfig,
    SftConfig,
    SimpoConfig,
    TuningStep,
)

SFT, GRPO = SftConfig().aim(), GrpoConfig().aim()
BITS, SEEN, HELD_OUT = "val.bits_per_byte", "questions.seen", "questions.heldout"


def judged(aim: AnyAim, gate: StepGate, changes: dict[str, float], noise: float = 0.01, units: int = 60) -> dict[str, Verdict]:
    """The verdicts on a step that changed each metric by so much on average; metrics that are not named stay what they were."""
    chance = np.random.default_rng(1)
    metrics: dict[str, float] = {}
    found: dict[str, Units] = {}
    for metric in (aim.metric, BITS, SEEN, HELD_OUT):
        before = chance.normal(2.0, 1.0, units)
        after = before + changes.get(metric, 0.0) + chance.normal(0, noise, units)
        for when, value in (("before", before), ("after", after)):
            metrics[f"{when}.{metric}"] = float(value.mean())
            found[f"{when}.{metric}"] = Units(np.arange(units), value, np.ones(units))
    bounds = gate.judging(aim, makes_policy=True)
    return {verdict.metric: verdict for verdict in judge(metrics, bounds.bounds, units=found, confidence=bounds.confidence)}


def test_a_loss_must_fall_and_a_reward_must_rise() -> None:
    for aim, better in ((SFT, -0.1), (GRPO, 0.1)):
        own = f"after.{aim.metric}"
        assert judged(aim, StepGate(), {aim.metric: better})[own].passed
        for change in (0.0, -better):
            verdict = judged(aim, StepGate(), {aim.metric: change})[own]
            assert not verdict.passed and ("is worse by" if change else "is not certainly better") in verdict.reason
            assert verdict.asked.startswith("beats before: ")


def test_a_gain_within_the_noise_fails() -> None:
    assert not judged(GRPO, StepGate(), {GRPO.metric: 0.05}, noise=1.0)[f"after.{GRPO.metric}"].passed


@pytest.mark.parametrize(("metric", "cost"), [(BITS, 0.2), (SEEN, -0.2), (HELD_OUT, -0.2)])
def test_a_step_that_costs_more_elsewhere_than_is_let_through_fails_there_alone(metric: str, cost: float) -> None:
    changes = {GRPO.metric: 0.5, metric: cost}
    failed = [name for name, verdict in judged(GRPO, StepGate(), changes).items() if not verdict.passed]
    assert failed == [f"after.{metric}"]
    wider = StepGate(most_bits_per_byte=0.3, most_right_lost=0.3)
    assert all(verdict.passed for verdict in judged(GRPO, wider, changes).values())


def test_what_is_not_to_be_judged_is_left_out() -> None:
    only = StepGate(most_bits_per_byte=None, most_right_lost=None).judging(SFT, makes_policy=True)
    assert [bound.metric for bound in only.bounds] == ["after.aim.answer_loss"]
    scored = StepGate().judging(RewardModelConfig().aim(), makes_policy=False)
    assert [bound.metric for bound in scored.bounds] == ["after.aim.ranking_loss"], "no later step goes on from a reward model"


def test_too_few_units_to_be_certain_of_anything_fail() -> None:
    verdict = judged(GRPO, StepGate(), {GRPO.metric: 5.0}, units=3)[f"after.{GRPO.metric}"]
    assert not verdict.passed and "fewer than 6 decide nothing" in verdict.reason


CONFIGS: list[TuningStep] = [SftConfig(), DpoConfig(), DpoConfig(loss="ipo"), KtoConfig(), OrpoConfig(), SimpoConfig(), RewardModelConfig()]


@pytest.mark.parametrize("config", [*CONFIGS, GrpoConfig(), PpoConfig()], ids=lambda config: config.kind)
def test_a_measure_whose_name_ends_in_loss_is_better_lower_and_no_other(config: TuningStep) -> None:
    measured = metric_of(config.aim().metric)
    assert measured is not None and measured.paired
    assert config.aim().MEASURE.endswith("_loss") == measured.lower


@pytest.mark.parametrize("asked", get_args(GrpoConfig.model_fields["questions"].annotation))
def test_replies_are_measured_on_questions_that_the_step_does_not_ask(asked: Any) -> None:
    step = GrpoConfig(questions=asked)
    files = [f"{name}.jsonl" for name in step.aim().questions]
    assert files and step.asks not in files


@pytest.mark.parametrize("given", [{"rows": 5}, {"most_bits_per_byte": -0.1}, {"most_right_lost": 2}, {"overrule": "yes"}, {"by": 1}])
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StepGate.model_validate(given)
