"""Confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.evaluation.intervals import bootstrap_ratio, proportion

Array = NDArray[np.float64]


@given(asked=st.integers(1, 500), data=st.data())
def test_a_proportion_lies_in_its_interval_and_the_interval_within_zero_and_one(asked: int, data: st.DataObject) -> None:
    found = proportion(data.draw(st.integers(0, asked)), asked, 0.95)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0


def test_wilson_agrees_with_a_published_value() -> None:
    # 81 of 263, the example of Newcombe 1998, method 3: 0.2553 to 0.3662.
    found = proportion(81, 263, 0.95)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 30), seed=st.integers(0, 99))
def test_the_bootstrap_is_reproducible_and_contains_its_estimate(rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sums, counts = generator.random(rows) * 9, generator.integers(1, 9, rows).astype(float)
    first, second = (bootstrap_ratio(sums, counts, seed=seed, resamples=100, confidence=0.9) for _ in range(2))
    assert first == second and first.low <= first.value <= first.high
    assert first.value == pytest.approx(sums.sum() / counts.sum())


def test_the_bootstrap_error_matches_the_central_limit_theorem() -> None:
    generator = np.random.default_rng(0)
    sums = generator.normal(5, 2, 400)
    found = bootstrap_ratio(sums, np.ones(400), seed=1, resamples=2000, confidence=0.95)
    assert found.error == pytest.approx(2 / 20, rel=0.15)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1, rel=0.15)


def test_nothing_counted_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        bootstrap_ratio(np.ones(3), np.zeros(3), seed=0, resamples=100, confidence=0.95)
    with pytest.raises(ValueError, match="0 of 0 is not a proportion"):
        proportion(0, 0, 0.95)


def drawn(kind: str, rows: int, generator: np.random.Generator) -> tuple[Array, Array, float]:
    """Rows of a kind, their counts, and the true ratio."""
    counts = generator.integers(20, 60, rows).astype(float) if kind == "lengths" else np.ones(rows)
    if kind.startswith("yes"):
        share = float(kind.split()[-1])
        return (generator.random(rows) < share).astype(float), counts, share
    if kind == "differences":
        return generator.choice([-1.0, 0.0, 1.0], rows, p=[0.2, 0.5, 0.3]), counts, 0.1
    noise = generator.gamma(4.0, 0.25, rows) if kind == "skewed" else generator.normal(1.0, 0.3, rows)
    return noise * counts, counts, 1.0


def coverage(kind: str, rows: int, rounds: int) -> float:
    """How often the interval of 95 % holds the truth."""
    generator, inside = np.random.default_rng(rows), 0
    for number in range(rounds):
        sums, counts, truth = drawn(kind, rows, generator)
        found = bootstrap_ratio(sums, counts, seed=number, resamples=400, confidence=0.95)
        inside += found.low <= truth <= found.high
    return inside / rounds


KINDS = ["normal", "skewed", "lengths", "yes 0.02", "yes 0.2", "yes 0.5", "yes 0.9", "differences"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [3, 16, 30])
def test_intervals_of_few_rows_cover_what_they_say(rows: int, kind: str) -> None:
    assert coverage(kind, rows, 1500) > 0.915


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_three_to_fifty_rows_cover_what_they_say(kind: str) -> None:
    found = {rows: coverage(kind, rows, 1500) for rows in (3, 5, 8, 12, 20, 35, 49, 50)}
    print(f"\n{kind}: " + ", ".join(f"{rows} rows {share:.1%}" for rows, share in found.items()))
    assert min(found.values()) > 0.915


@given(rows=st.integers(1, 80), value=st.sampled_from([-1.0, 0.0, 1.0]))
def test_rows_of_yes_or_no_that_are_all_alike_have_an_interval_that_is_not_a_point(rows: int, value: float) -> None:
    found = bootstrap_ratio(np.full(rows, value), np.ones(rows), seed=0, resamples=50, confidence=0.95)
    assert found.low <= value <= found.high and found.high - found.low > 1 / (rows + 1)
    # Six that all point one way are more than chance, as FEWEST says.
    assert (abs(value) and rows >= 6) == (found.low * found.high > 0)


def test_the_interval_of_yes_and_no_agrees_with_a_published_one() -> None:
    # 81 of 263, the example of Newcombe 1998, method 5 (Clopper-Pearson): 0.2527 to 0.3676.
    found = bootstrap_ratio(np.repeat([1.0, 0.0], [81, 182]), np.ones(263), seed=0, resamples=400, confidence=0.95)
    assert found.low <= 0.2527 + 5e-5 and found.high >= 0.3676 - 5e-5 and found.high - found.low < 0.125


def test_students_interval_is_that_of_a_mean() -> None:
    # Student's own example (1908), hours of sleep gained by ten patients: 1.58 with a standard error of 0.389.
    gained = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found = bootstrap_ratio(gained, np.ones(10), seed=0, resamples=100, confidence=0.95)
    assert (found.value, found.error) == pytest.approx((1.58, 0.38896), abs=1e-4)
    assert (found.low, found.high) == pytest.approx((1.58 - 2.26216 * 0.38896, 1.58 + 2.26216 * 0.38896), abs=1e-3)
