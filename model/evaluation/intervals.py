"""Confidence intervals: bootstrap for ratios of sums, Wilson for proportions.

The same numbers, seed and confidence give the same interval, and it always contains the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and confidence interval."""

    value: float
    error: float
    low: float
    high: float

    def metrics(self, name: str) -> dict[str, float]:
        """Return name, name_error, name_low and name_high, as metrics.json holds them."""
        return {name: self.value, f"{name}_error": self.error, f"{name}_low": self.low, f"{name}_high": self.high}

    def scaled(self, factor: float) -> Estimate:
        """Return the same quantity in another unit; `factor` is above 0."""
        return Estimate(self.value * factor, self.error * factor, self.low * factor, self.high * factor)

    def plus(self, constant: float) -> Estimate:
        """Return the quantity plus a constant, which adds no uncertainty."""
        return Estimate(self.value + constant, self.error, self.low + constant, self.high + constant)


def bootstrap_ratio(sums: Floats, counts: Floats, *, seed: int, resamples: int, confidence: float) -> Estimate:
    """Return sum(sums) / sum(counts) with a percentile bootstrap interval over rows (Efron 1979).

    sums, counts: float64 [rows]. Rows are resampled, not tokens, because the tokens of one row are not independent. A single row says
    nothing of the spread: its interval is the estimate alone, with standard error 0. Raise ValueError if all counts are 0. Cost:
    resamples x rows random integers, one resample in memory at a time.
    """
    total = float(counts.sum())
    if not total:
        raise ValueError(f"none of {len(counts)} rows has a target, so there is nothing to measure")
    value = float(sums.sum()) / total
    generator = np.random.Generator(np.random.Philox(seed))
    ratios = np.empty(resamples)
    for number in range(resamples):
        drawn = np.bincount(generator.integers(len(sums), size=len(sums)), minlength=len(sums))
        weight = float(drawn @ counts)
        ratios[number] = float(drawn @ sums) / weight if weight else value
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Estimate(value, float(ratios.std()), min(value, float(low)), max(value, float(high)))


def proportion(right: int, asked: int, confidence: float) -> Estimate:
    """Return right / asked with Wilson's score interval (1927), which stays within 0..1 and covers well near both ends."""
    if not 0 <= right <= asked or asked < 1:
        raise ValueError(f"{right} of {asked} is not a proportion: it needs 0 <= right <= asked, and asked of 1 or more")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = right / asked
    centre = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z / (1 + z * z / asked) * math.sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked))
    return Estimate(p, math.sqrt(p * (1 - p) / asked), min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))
