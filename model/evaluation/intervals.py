"""How far a measured number can be trusted: bootstrap for ratios of sums, Wilson for shares.

Guarantee: the same numbers, seed and confidence give the same interval; it always holds the estimate.
Cost: resamples x rows random integers, in memory one resample at a time.
When it can't: with a single row the bootstrap cannot know the spread; its interval is then the estimate alone, its
standard error 0, and a gate that asks for certainty should ask for rows as well.
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
    """A number, its standard error, and the interval around it."""

    value: float
    error: float
    low: float
    high: float

    def metrics(self, name: str) -> dict[str, float]:
        """Flat, for a tracker: name, name_error, name_low, name_high."""
        return {name: self.value, f"{name}_error": self.error, f"{name}_low": self.low, f"{name}_high": self.high}

    def scaled(self, factor: float) -> Estimate:
        """The same quantity in another unit (factor above 0)."""
        return Estimate(self.value * factor, self.error * factor, self.low * factor, self.high * factor)

    def plus(self, constant: float) -> Estimate:
        """The same quantity with something known for certain added."""
        return Estimate(self.value + constant, self.error, self.low + constant, self.high + constant)


def bootstrap_ratio(sums: Floats, counts: Floats, *, seed: int, resamples: int, confidence: float) -> Estimate:
    """sum(sums) / sum(counts) with a percentile interval over rows drawn with replacement (Efron 1979).

    sums, counts: float64 [rows]. Rows are the unit because tokens of one row are not independent. ValueError when no
    row counts anything.
    """
    total = float(counts.sum())
    if not total:
        raise ValueError(f"none of {len(counts)} rows holds anything that counts: there is nothing to measure")
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


def share(right: int, asked: int, confidence: float) -> Estimate:
    """right / asked with Wilson's score interval (1927), which stays within 0..1 and is honest at both ends."""
    if not 0 <= right <= asked or asked < 1:
        raise ValueError(f"{right} of {asked} is no share: nothing was counted")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = right / asked
    centre = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z / (1 + z * z / asked) * math.sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked))
    return Estimate(p, math.sqrt(p * (1 - p) / asked), min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))
