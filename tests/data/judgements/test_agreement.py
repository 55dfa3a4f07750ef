"""Agreement and ratings against independent references, and what careless judges do to both."""

from __future__ import annotations

import random
import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from data.judgements.agreement import ELO, Game, alpha_interval, bradley_terry, nominal_alpha, rate, without_judge
from data.judgements.examples import agreement, decide
from tests.data.judgements.judging import journal, judged, prefers

TABLES = st.integers(2, 5).flatmap(
    lambda judges: st.lists(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=judges, max_size=judges), min_size=1, max_size=15)
)


@settings(max_examples=300, deadline=None)
@given(TABLES)
def test_alpha_equals_that_of_the_krippendorff_package(units: list[list[str | None]]) -> None:
    ours = nominal_alpha([[value for value in unit if value is not None] for unit in units])
    table = np.array([[np.nan if value is None else float("abc".index(value)) for value in unit] for unit in units]).T
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    except ValueError:  # one value, or none, in all of the table
        theirs = np.nan
    assert ours is None if np.isnan(theirs) else ours == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 6).flatmap(lambda n: st.lists(st.lists(st.integers(0, 30), min_size=n, max_size=n), min_size=n, max_size=n)))
def test_ratings_equal_the_likeliest_that_scipy_finds(table: list[list[int]]) -> None:
    wins = np.array(table, dtype=float)
    np.fill_diagonal(wins, 0)

    def unlikely(strengths: np.ndarray) -> float:
        ahead = strengths[:, None] - strengths[None, :]
        own = np.logaddexp(0, -strengths) / 2 + np.logaddexp(0, strengths) / 2
        return float((wins * np.logaddexp(0, -ahead)).sum() + own.sum())

    theirs = minimize(unlikely, np.zeros(len(wins)), method="BFGS", options={"gtol": 1e-9}).x
    assert bradley_terry(wins[None])[0] == pytest.approx(theirs, abs=2e-4)


def test_ratings_are_found_where_one_model_won_everything() -> None:
    found = bradley_terry(np.array([[[0.0, 1e6, 1e6], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]))[0]
    assert np.isfinite(found).all() and found[0] > found[1] > found[2]


def test_intervals_of_ratings_cover_the_true_difference_about_as_often_as_they_say() -> None:
    true, drawn, covered = 120.0, random.Random(5), 0
    for _ in range(200):
        won = [drawn.random() < 1 / (1 + 10 ** (-true / 400)) for _ in range(120)]
        first = next(one for one in rate([Game(number, "a", "b", float(win)) for number, win in enumerate(won)]) if one.model == "a")
        covered += first.points.low <= true / 2 <= first.points.high
    assert covered >= 180  # of 200 at 95 %; 180 would be 90 %


def test_ratings_and_intervals_are_the_same_in_any_order_of_voices() -> None:
    drawn = random.Random(3)
    games = [Game(number // 3, drawn.choice("ab"), drawn.choice("cd"), drawn.choice([0.0, 0.5, 1.0])) for number in range(90)]
    assert rate(games) == rate(sorted(games)) == rate(games[::-1])
    assert sum(one.points.value for one in rate(games)) == pytest.approx(0, abs=ELO)


def voices(careless: int) -> list[dict[str, str]]:
    """What three careful judges, who err in one of ten, and some who draw lots say of 150 pairs."""
    drawn = random.Random(11)
    found = []
    for _ in range(150):
        truth = drawn.choice("ab")
        said = {f"careful {judge}": truth if drawn.random() > 0.1 else "ab".replace(truth, "") for judge in range(3)}
        found.append(said | {f"careless {judge}": drawn.choice("ab") for judge in range(careless)})
    return found


def test_planted_careless_judges_lower_alpha_and_are_found_by_leaving_each_out() -> None:
    careful, mixed = (alpha_interval([list(said.values()) for said in voices(careless)]) for careless in (0, 2))
    assert careful is not None and mixed is not None and mixed.high < careful.low
    without = {judge: alpha or 0.0 for judge, alpha in without_judge(voices(2)).items()}
    assert {judge for judge, alpha in without.items() if alpha > mixed.value} == {"careless 0", "careless 1"}


def test_agreement_is_measured_over_the_voices_that_count_whatever_order_answers_were_shown_in() -> None:
    lines = [
        prefers(value, f"Question {n}?", judge, swapped=n % 2 == 0)
        for n in range(8)
        for judge in "ab"
        for value in ("red", "blue")[n % 3 > 1 :][:1]
    ]
    assert agreement(decide(journal(*lines)))["preference"].value == 1


def test_where_nobody_could_differ_there_is_no_agreement_to_speak_of() -> None:
    assert nominal_alpha([]) is None and nominal_alpha([["a"], ["b"]]) is None and nominal_alpha([["a", "a"], ["a", "a"]]) is None
    assert alpha_interval([["a"]]) is None and rate([]) == [] and rate([Game(0, "a", "a", 1.0)]) == []


def test_agreement_by_chance_counts_for_nothing_however_many_different_answers_there_were() -> None:
    drawn = random.Random(2)
    lines = []
    for number in range(200):
        better = [drawn.choice("AB") for _ in range(2)]
        texts = (f"Answer one to {number}.", f"Answer two to {number}.")
        lines += [judged("preference", f"{number}?", texts, judge=judge, preferred=one) for judge, one in zip("ab", better, strict=True)]
    found = agreement(decide(journal(*lines)))["preference"]
    assert found.low < 0 < found.high
