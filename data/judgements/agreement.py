"""Agreement between judges, and ratings of models by their preferences.

Agreement is Krippendorff's alpha for nominal values (Krippendorff 2004, chapter 11): 1 is perfect, 0 what chance gives, below 0 worse than
that. Questions with one voice say nothing of it and are left out.

Ratings are those of Bradley and Terry (1952) on Elo's scale: 400 points are odds of 10 to 1. To keep them finite where a model never won or
never lost, each has besides half a win and half a loss against a model of rating 0. A tie is half a win for each.

Intervals are percentiles of a bootstrap over questions, since the voices on one are not independent. Seed and numbers decide every digit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES, CONFIDENCE, SEED = 1000, 0.95, 0
AT_ONCE = 50  # resamples in memory together
ELO = 400 / math.log(10)
MOST_STEPS, SMALL = 200, 1e-9


class Interval(NamedTuple):
    """A value with the interval that is meant to cover it in 95 of 100 cases."""

    value: float
    low: float
    high: float


class Game(NamedTuple):
    """One voice on two models. `question`: what both answered; `score`: of the first, 1, 0.5 or 0."""

    question: int
    first: str
    second: str
    score: float


class Rating(NamedTuple):
    """A model's rating, and how many voices it took part in and won, half of each tie."""

    model: str
    points: Interval
    voices: int
    won: float


def nominal_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha of the values that judges gave to each unit; None if no unit has two, or all values are equal."""
    disagreement, counts = _tables(units)
    value = float(_alpha(disagreement.sum(keepdims=True), counts.sum(axis=0, keepdims=True))[0])
    return value if math.isfinite(value) else None


def alpha_interval(units: Sequence[Sequence[str]]) -> Interval | None:
    """Return alpha with an interval over resampled units; None where there is no alpha. Resamples without one are left out."""
    value = nominal_alpha(units)
    if value is None:
        return None
    disagreement, counts = _tables(units)
    drawn = [_alpha(weights @ disagreement, weights @ counts) for weights in _resamples(len(disagreement))]
    return _interval(value, np.concatenate(drawn))


def _tables(units: Sequence[Sequence[str]]) -> tuple[Floats, Floats]:
    """Return of each unit with two values or more its pairs that differ, divided by its values less one; and its counts of each value."""
    several = [Counter(unit) for unit in units if len(unit) > 1]
    values = sorted({value for unit in several for value in unit})
    counts = np.array([[unit[value] for value in values] for unit in several], dtype=np.float64).reshape(len(several), len(values))
    sizes = counts.sum(axis=1)
    return (sizes**2 - (counts**2).sum(axis=1)) / np.maximum(sizes - 1, 1), counts


def _alpha(disagreement: Floats, counts: Floats) -> Floats:
    """Return alpha of each row: 1 - observed / expected disagreement; NaN where nothing could differ."""
    total = counts.sum(axis=1)
    expected = total**2 - (counts**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (total - 1) * disagreement / expected, np.nan)


def _resamples(units: int) -> Iterator[Floats]:
    """Yield how often each unit is drawn, of shape [resamples, units], some resamples at a time."""
    generator = np.random.Generator(np.random.Philox(SEED))
    for start in range(0, RESAMPLES if units else 0, AT_ONCE):
        drawn = generator.integers(units, size=(min(AT_ONCE, RESAMPLES - start), units))
        yield np.stack([np.bincount(row, minlength=units) for row in drawn]).astype(np.float64)


def _interval(value: float, drawn: Floats) -> Interval:
    """Return the percentiles, widened to hold the value."""
    found = drawn[np.isfinite(drawn)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail]) if len(found) else (value, value)
    return Interval(value, min(value, float(low)), max(value, float(high)))


def without_judge(questions: Collection[Mapping[str, str]]) -> dict[str, float | None]:
    """Return what alpha would be without each judge. One whose absence raises it much agrees with nobody.

    `questions`: of each what every judge said of it.
    """
    judges = sorted({judge for voices in questions for judge in voices})
    return {one: nominal_alpha([[said for judge, said in voices.items() if judge != one] for voices in questions]) for one in judges}


def rate(games: Sequence[Game]) -> list[Rating]:
    """Return the rating of each model that played another, the best first. Games of a model against itself say nothing."""
    played = [game for game in games if game.first != game.second]
    models = sorted({model for game in played for model in (game.first, game.second)})
    if not models:
        return []
    number = {model: at for at, model in enumerate(models)}
    rows = {question: at for at, question in enumerate(sorted({game.question for game in played}))}
    wins = np.zeros((len(rows), len(models), len(models)))
    for game in played:
        first, second = number[game.first], number[game.second]
        wins[rows[game.question], first, second] += game.score
        wins[rows[game.question], second, first] += 1 - game.score
    whole = wins.sum(axis=0)
    points = ELO * bradley_terry(whole[None])[0]
    flat = wins.reshape(len(rows), -1)
    drawn = np.concatenate([ELO * bradley_terry((weights @ flat).reshape(-1, *whole.shape)) for weights in _resamples(len(rows))])
    found = [
        Rating(model, _interval(float(points[at]), drawn[:, at]), round(whole[at].sum() + whole[:, at].sum()), float(whole[at].sum()))
        for at, model in enumerate(models)
    ]
    return sorted(found, key=lambda rating: (-rating.points.value, rating.model))


def bradley_terry(wins: NDArray[Any]) -> Floats:
    """Return the log-strengths that make the wins of each table likeliest, by Newton's method: [tables, models].

    wins[t, i, j]: how often i won against j in table t. The odds that i wins are exp(s_i - s_j).
    Raise ArithmeticError if it doesn't converge.
    """
    strengths = np.zeros(wins.shape[:2])
    games = wins + wins.swapaxes(1, 2)
    diagonal = np.arange(wins.shape[1])
    for _ in range(MOST_STEPS):
        # Written so that neither end overflows.
        chance = 0.5 * (1 + np.tanh((strengths[:, :, None] - strengths[:, None, :]) / 2))
        alone = 0.5 * (1 + np.tanh(strengths / 2))
        slope = (wins - games * chance).sum(axis=2) + 0.5 - alone
        curvature = -games * chance * (1 - chance)
        curvature[:, diagonal, diagonal] = -curvature.sum(axis=2) + curvature[:, diagonal, diagonal] + alone * (1 - alone)
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        strengths += np.clip(step, -1, 1)  # far from the top a whole step may lead farther away
        if np.abs(step).max() < SMALL:
            return strengths
    raise ArithmeticError(f"ratings of {wins.shape[1]} models did not converge in {MOST_STEPS} steps; report this with the judgements")
