"""Bounds that compare hold only where the difference, row by row, is certain; they say what lacks, and refuse what can't be paired."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from model.evaluation.gate import Bound, judge
from model.evaluation.intervals import Units, paired_difference, read_units, write_units
from model.evaluation.metrics import metric_of
from model.evaluation.relations import Unpaired, can_be_paired

OURS, THEIRS = "base.val.bits_per_byte", "baseline.ngram.val.bits_per_byte"
BEATS = Bound(metric=OURS, beats="baseline.ngram")


def units(values: Any, numbers: Any = None) -> Units:
    value = np.asarray(values, dtype=np.float64)
    return Units(np.arange(len(value)) if numbers is None else np.asarray(numbers), value, np.ones(len(value)))


def judged(bound: Bound, ours: Units, theirs: Units, than: str = THEIRS) -> Any:
    found = {bound.metric: ours, than: theirs}
    means = {name: float(u.value.sum() / u.weight.sum()) for name, u in found.items()}
    return judge(means, [bound], units=found)[0]


def rows(shift: float, noise: float, count: int = 200) -> tuple[Units, Units]:
    """Rows that differ much from each other; ours lie `shift` above theirs, give or take `noise`."""
    chance = np.random.default_rng(1)
    hard = chance.normal(2.0, 1.0, count)
    return units(hard + shift + chance.normal(0, noise, count)), units(hard)


def test_a_small_but_certain_gain_passes_although_rows_differ_much_more_from_each_other() -> None:
    verdict = judged(BEATS, *rows(shift=-0.03, noise=0.05))
    assert verdict.passed and 0 < verdict.margin < 0.03
    assert verdict.asked.startswith("beats baseline.ngram: ")


@pytest.mark.parametrize(
    ("shift", "noise", "reason"),
    [
        (0.0, 0.05, r"is not certainly better: by [+-]0\.00\d+ \(-0\.0\d+ to \+0\.0\d+\)"),
        (-0.03, 1.5, r"is not certainly better: by .* \(-0\.\d+ to \+0\.\d+\)"),
        (0.03, 0.05, r"is worse by 0\.0[23]\d* \(0\.0[12]\d* to 0\.0[34]\d*\)"),
    ],
    ids=["equal", "uncertain", "worse"],
)
def test_what_is_not_certainly_better_fails_and_says_by_how_much(shift: float, noise: float, reason: str) -> None:
    verdict = judged(BEATS, *rows(shift, noise))
    assert not verdict.passed and verdict.margin <= 0
    assert re.fullmatch(reason, verdict.reason), verdict.reason


@pytest.mark.parametrize(
    ("noise", "by", "reason"),
    [
        (0.02, 0.01, r"is worse by 0\.0\d+ \(.*\), and 0\.01 is allowed"),
        (0.5, 0.05, r"may be worse by 0\.\d+, and 0\.05 is allowed: changed by .*"),
    ],
)
def test_what_costs_too_much_says_how_much_is_allowed(noise: float, by: float, reason: str) -> None:
    bound = Bound(metric="chat.val.bits_per_byte", no_worse_than="base", by=by)
    verdict = judged(bound, *rows(0.04, noise), than=OURS)
    assert not verdict.passed and re.fullmatch(reason, verdict.reason), verdict.reason


def test_a_model_may_cost_what_the_bound_lets_through_and_no_more() -> None:
    def tuned(by: float) -> bool:
        bound = Bound(metric="chat.val.bits_per_byte", no_worse_than="base", by=by)
        return bool(judged(bound, *rows(shift=0.04, noise=0.02), than=OURS).passed)

    assert tuned(0.05) and not tuned(0.03) and not tuned(0.0)


def test_a_model_that_answers_as_often_without_the_picture_is_not_above_that() -> None:
    bound = Bound(metric="chat.questions.heldout", above="blind")
    right = np.random.default_rng(2).random(400)
    blind = units(right[::-1] < 0.3)
    assert not judged(bound, units(right < 0.32), blind, "chat.questions.blind").passed
    assert judged(bound, units(right < 0.7), blind, "chat.questions.blind").passed


def test_chance_and_the_blind_model_stand_beside_a_score_about_pictures() -> None:
    metrics = {"chat.questions.heldout": 0.95, "chat.questions.blind": 0.2, "baseline.chance.questions.heldout": 0.25, "chat.val.loss": 1.0}
    bounds = [Bound(metric="chat.questions.heldout", minimum=0.9), Bound(metric="chat.val.loss", maximum=2.0)]
    assert [verdict.asked for verdict in judge(metrics, bounds)] == [">= 0.9 (chance 0.25, blind 0.2)", "<= 2"]
    del metrics["chat.questions.blind"]
    assert judge(metrics, bounds)[0].asked == ">= 0.9"


def test_a_model_that_answers_as_often_as_guessing_is_not_above_chance() -> None:
    bound = Bound(metric="chat.questions.heldout", above="chance")
    guessed, right = units(np.full(100, 0.5)), np.random.default_rng(2).random(100)
    assert not judged(bound, units(right < 0.5), guessed, "baseline.chance.questions.heldout").passed
    assert judged(bound, units(right < 0.7), guessed, "baseline.chance.questions.heldout").passed


def test_more_is_better_for_the_share_of_tokens_found() -> None:
    bound = Bound(metric="chat.val.masked_accuracy", no_worse_than="base", by=0.01)
    better, worse = rows(shift=0.2, noise=0.01)
    assert judged(bound, better, worse, "base.val.masked_accuracy").passed
    assert not judged(bound, worse, better, "base.val.masked_accuracy").passed


@pytest.mark.parametrize("name", ["seen", "heldout", "follow_ups", "program_templates", "gym_heldout"])
def test_every_set_of_questions_can_be_compared_and_what_is_no_mean_over_questions_can_not(name: str) -> None:
    assert Bound(metric=f"chat.questions.{name}", no_worse_than="base").related
    for ending in ("_later", "_count", "_unasked", "_low"):
        with pytest.raises(ValidationError, match="are kept row by row"):
            Bound(metric=f"chat.questions.{name}{ending}", no_worse_than="base")


def test_only_rows_that_both_have_are_compared() -> None:
    ours, theirs = units([1.0] * 8, range(4, 12)), units([5.0] * 4 + [1.5] * 8)
    assert paired_difference(ours, theirs, confidence=0.95).value == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (units([2.0] * 5), "have 5 rows or questions in common, and fewer than 6"),
        (Units(np.arange(8), np.full(8, 2.0), np.full(8, 3.0)), "on rows of different length"),
    ],
)
def test_too_few_rows_or_other_rows_fail_by_name(theirs: Units, message: str) -> None:
    ours = units([1.0] * 8)
    with pytest.raises(Unpaired, match=message):
        paired_difference(ours, theirs, confidence=0.95)
    verdict = judged(BEATS, ours, theirs)
    assert not verdict.passed and message in verdict.reason


def test_a_metric_that_is_missing_or_nan_or_has_no_rows_fails() -> None:
    ours, theirs = rows(-0.5, 0.01)
    found = {OURS: ours, THEIRS: theirs}
    reasons = [
        judge(metrics, [BEATS], units=known)[0].reason
        for metrics, known in (
            ({THEIRS: 2.0}, found),
            ({OURS: 1.0}, found),
            ({OURS: float("nan"), THEIRS: 2.0}, found),
            ({OURS: 1.0, THEIRS: 2.0}, {OURS: ours}),
        )
    ]
    assert reasons == ["was not measured", f"{THEIRS} was not measured", "is nan", f"{THEIRS} has no rows to be compared by"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": OURS, "beats": "baseline.ngram", "maximum": 3}, "in another bound"),
        ({"metric": OURS, "beats": "baseline.ngram", "no_worse_than": "chat"}, "give each a bound of its own"),
        ({"metric": OURS, "beats": "baseline.ngram", "by": 0.1}, "by=0.1, which does nothing without no_worse_than"),
        ({"metric": "base.val.perplexity", "beats": "baseline.ngram"}, "kept row by row"),
        ({"metric": OURS, "above": "chance"}, "chance is known of questions alone"),
        ({"metric": OURS, "above": "blind"}, "blind is known of questions alone"),
        ({"metric": "chat.questions.seen", "above": "blind"}, "questions.heldout alone are asked so again"),
    ],
)
def test_a_bound_that_could_not_be_judged_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Bound(**fields)


def test_units_are_read_as_they_were_written_and_the_same_ones_give_the_same_bytes(tmp_path: Path) -> None:
    found = {"val.bits_per_byte": units([1.0, 2.5]), "questions.seen": units([True, False])}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_units(tmp_path / name, found)
    assert (tmp_path / "a" / "units.npz").read_bytes() == (tmp_path / "b" / "units.npz").read_bytes()
    again = read_units(tmp_path / "a")
    assert {name: u.value.tolist() for name, u in again.items()} == {"val.bits_per_byte": [1.0, 2.5], "questions.seen": [1.0, 0.0]}
    assert read_units(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "lower", "paired"),
    [
        ("val.bits_per_byte", True, True),
        ("base.val.bits_per_byte", True, True),
        ("base.val.austen.bits_per_byte", True, True),
        ("chat.test.span_accuracy", False, True),
        ("chat.questions.heldout", False, True),
        ("chat.questions.heldout_later", False, False),
        ("after.aim.answer_loss", True, True),
        ("after.aim.margin", False, True),
        ("base.val.perplexity", True, False),
    ],
)
def test_a_metric_is_declared_once_with_its_direction_and_whether_it_can_be_compared(name: str, lower: bool, paired: bool) -> None:
    metric = metric_of(name)
    assert metric is not None and (metric.lower, metric.paired) == (lower, paired)


def test_the_ends_of_an_interval_cannot_be_compared_by_rows() -> None:
    assert can_be_paired("base.val.bits_per_byte") and not can_be_paired("base.val.bits_per_byte_low")
