"""Confidence intervals: bootstrap for ratios of sums, Student's for few rows, Wilson for proportions, Clopper-Pearson for yes/no rows.

The same numbers, seed and confidence give the same interval, and it always contains the estimate.

The units behind a metric's mean: a value and a weight for each row or question, to compare two models unit by unit.

`units.npz` beside metrics.json holds three arrays for each such metric: `<metric>.unit`, which row of the split or question of the file;
`<metric>.value` and `<metric>.weight`; the metric is the sum of values over the sum of weights. Where weights don't tell texts apart
`<metric>.rows` is a digest of the rows that the units are drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.shards.metadata import ShardMetadata
from model.evaluation.metrics import CONTEST
from model.evaluation.relations import UNITS, Unpaired, gain

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
    """Return sum(sums) / sum(counts) with a percentile bootstrap interval over rows (Efron 1979), of few rows with Student's.

    sums, counts: float64 [rows]. Rows are resampled, not tokens, because the tokens of one row are not independent. A single row says
    nothing of the spread: its interval is the estimate alone, with standard error 0. Where all rows are yes or no, or differences of such,
    the interval also holds what so few rows can't rule out. Raise ValueError if all counts are 0. Cost: resamples x rows random integers,
    one resample in memory at a time.
    """
    total = float(counts.sum())
    if not total:
        raise ValueError(f"none of {len(counts)} rows has a target, so there is nothing to measure")
    value = float(sums.sum()) / total
    if 1 < len(sums) < FEW:
        return _with_unseen(_students(value, sums - value * counts, total, confidence), sums, counts, confidence)
    generator = np.random.Generator(np.random.Philox(seed))
    ratios = np.empty(resamples)
    for number in range(resamples):
        drawn = np.bincount(generator.integers(len(sums), size=len(sums)), minlength=len(sums))
        weight = float(drawn @ counts)
        ratios[number] = float(drawn @ sums) / weight if weight else value
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    found = Estimate(value, float(ratios.std()), min(value, float(low)), max(value, float(high)))
    return _with_unseen(found, sums, counts, confidence)


def _students(value: float, residuals: Floats, total: float, confidence: float) -> Estimate:
    """Return a ratio with Student's interval, by the ratio's linear form (Cochran 1977, 6.3). `residuals`: sum - ratio x count, a row each.

    The percentiles of a bootstrap are too narrow for few rows: of 5 normal rows those for 95 % covered 83 to 84 %.
    """
    from scipy.special import stdtrit

    rows = len(residuals)
    error = math.sqrt(rows * float(residuals @ residuals) / (rows - 1)) / abs(total)
    half = float(stdtrit(rows - 1, (1 + confidence) / 2)) * error
    return Estimate(value, error, value - half, value + half)


def _with_unseen(found: Estimate, sums: Floats, counts: Floats, confidence: float) -> Estimate:
    """Widen the interval of rows that count 1 each and are all 0 or 1, or all 0 or -1, to Clopper and Pearson's (1934).

    Its coverage is never below what it says; Wilson's is 88 % for 4 rows of which half are right. Rows that are all alike have no spread,
    so Student's and the bootstrap's have no width. As such rows may be differences, all 0 may still hide 1 and -1, and all 1 hide -1.
    """
    from scipy.special import betaincinv

    rows, seen = len(sums), float(np.abs(sums).sum())
    if (counts != 1).any() or not np.isin(sums, (-1, 0, 1)).all() or seen != abs(float(sums.sum())):
        return found
    tail = (1 - confidence) / 2
    unseen = 1 - tail ** (1 / rows)  # the largest share that none of the rows would show
    low = -unseen if not seen else 1 - 2 * unseen if seen == rows else float(betaincinv(seen, rows - seen + 1, tail))
    high = 1.0 if seen == rows else float(betaincinv(seen + 1, rows - seen, 1 - tail))
    ends = (low, high) if found.value >= 0 else (-high, -low)
    return Estimate(found.value, found.error, min(found.low, *ends), max(found.high, *ends))


def proportion(right: int, asked: int, confidence: float) -> Estimate:
    """Return right / asked with Wilson's score interval (1927), which stays within 0..1 and covers well near both ends."""
    if not 0 <= right <= asked or asked < 1:
        raise ValueError(f"{right} of {asked} is not a proportion: it needs 0 <= right <= asked, and asked of 1 or more")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = right / asked
    centre = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z / (1 + z * z / asked) * math.sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked))
    return Estimate(p, math.sqrt(p * (1 - p) / asked), min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


FEW = 50
"""From so many rows the bootstrap's percentiles are used, whose coverage comes near to what they say; of 20 rows they covered 90 %."""
PARTS, ROWS = ("unit", "value", "weight"), "rows"
RESAMPLES = 2000
FEWEST = 6
"""Of fewer units that all point one way, chance does the same more often than one time in twenty."""


@dataclass(frozen=True)
class Units:
    """The units of one metric: int64 [n], float64 [n], float64 [n]. `rows`: digest of what they are drawn from; empty: not known."""

    unit: NDArray[np.int64]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    rows: str = ""


class Measured(NamedTuple):
    """Metrics, and the units of those that are means."""

    metrics: dict[str, float]
    units: dict[str, Units]


def bits_per_byte_units(rows: NDArray[np.int64], nats: NDArray[Any], targets: NDArray[Any], split: ShardMetadata) -> Units:
    """Return the bits and the bytes of rows with these summed nats and numbers of targets; `split` is what the rows are drawn from."""
    size = targets * (split.bytes / split.targets)
    return Units(rows, nats / np.log(2) + split.unknown_bits * size, size)


def write_units(folder: Path, units: Mapping[str, Units]) -> None:
    """Write `folder/units.npz`. The same units give the same bytes."""
    arrays: dict[str, Any] = {f"{metric}.{part}": getattr(found, part) for metric, found in sorted(units.items()) for part in PARTS}
    arrays |= {f"{metric}.{ROWS}": np.array(found.rows) for metric, found in sorted(units.items()) if found.rows}
    np.savez(folder / UNITS, **arrays)


def read_units(folder: Path) -> dict[str, Units]:
    """Return the units in a folder by metric; none if it has no such file."""
    return units_in(folder / UNITS)


def units_in(file: Path) -> dict[str, Units]:
    """Return the units in a file by metric; none if there is no such file."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as arrays:
        return {name.removesuffix(".unit"): _units(arrays, name.removesuffix(".unit")) for name in arrays.files if name.endswith(".unit")}


def _units(arrays: Mapping[str, NDArray[Any]], metric: str) -> Units:
    unit, value, weight = (arrays[f"{metric}.{part}"] for part in PARTS)
    return Units(unit, value, weight, str(arrays[f"{metric}.{ROWS}"]) if f"{metric}.{ROWS}" in arrays else "")


def paired_difference(ours: Units, theirs: Units, *, confidence: float) -> Estimate:
    """Return our metric less theirs over the units that both have, with a bootstrap interval over those.

    What makes a row hard is the same for both, so the difference is known better than either. Raise Unpaired for fewer than six common
    units, or if their weights or the digests of their rows differ, as for other shards.
    """
    if ours.rows and theirs.rows and ours.rows != theirs.rows:
        raise Unpaired("the two were measured on different rows: their text or its tokens differ")
    common, here, there = np.intersect1d(ours.unit, theirs.unit, return_indices=True)
    if len(common) < FEWEST:
        raise Unpaired(f"the two have {len(common)} rows or questions in common, and fewer than {FEWEST} decide nothing")
    weight = ours.weight[here]
    if not np.allclose(weight, theirs.weight[there]):
        raise Unpaired("the two were measured on rows of different length, so on different shards")
    return bootstrap_ratio(ours.value[here] - theirs.value[there], weight, seed=0, resamples=RESAMPLES, confidence=confidence)


class Contest(NamedTuple):
    """Whether the challenger is better beyond noise, and the figures in words."""

    better: bool
    words: str


def contest(challenger: Path, champion: Path, split: str, *, confidence: float = 0.95) -> Contest:
    """Compare two evaluations, folders with units.npz, by how well each model predicts a split.

    Without rows in common, or on rows of different text, the challenger is not known to be better.
    """
    ours, theirs = read_units(challenger), read_units(champion)
    metric = next((name for name in (measure.of(split) for measure in CONTEST) if name in ours and name in theirs), "")
    if not metric:
        return Contest(False, f"the two were not both measured on {split}")
    try:
        pair = paired_difference(ours[metric], theirs[metric], confidence=confidence)
    except Unpaired as error:
        return Contest(False, str(error))
    worst, best = sorted((gain(metric, pair.low), gain(metric, pair.high)))
    figures = f"{gain(metric, pair.value):+.4g} in {metric}, between {worst:+.4g} and {best:+.4g} at {confidence:.0%}"
    return Contest(worst > 0, f"better by {figures}" if worst > 0 else f"not certainly better: {figures}")
