"""Seconds for an amount of work, with a range, from what earlier executions took. Plain arithmetic.

Processor time measures the work regardless of other load; wall time does not. So processor time is scaled, as a fixed
start and a part in proportion to the work, and divided by the cores that such a stage keeps busy on an idle machine. The low end of a range
is for a machine that is or becomes idle, the high end for one that stays as busy as it is now.

The range follows from the spread of earlier executions, with a prior as strong as two of them, and grows with the distance to the
nearest: an execution with a thousandth of the work says little.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_SPREAD, PRIOR_WEIGHT = 0.30, 2.0  # standard deviation of the logarithm of seconds that one execution may differ by
SPREAD_BY_DISTANCE = 0.12  # added for each factor of e between the work and the nearest execution's
COVERED = 1.64  # standard deviations on each side
MUCH_BUSIER = 2.0  # a busy machine may become so many times as busy, and threads that wait for each other lose more than their share
LONG = 120.0  # seconds on an idle machine beyond which the long-term load average predicts better
WAITING = 1.0  # seconds of overhead, such as starting a process: with half of the start, the time may be this much more or less
NEAREST, NEIGHBOURHOOD = 12, math.log(4)
ASSUMED_UTILIZATION = 0.9  # of the cores that a stage computes on


@dataclass(frozen=True)
class Sample:
    """The cost of one execution. `work` is in its stage's own unit; `accelerated`: it computed elsewhere than on the processor."""

    work: float
    cpu_seconds: float
    wall_seconds: float
    accelerated: bool = False


@dataclass(frozen=True)
class Load:
    """A machine's load: threads that wished to run, averaged over a minute and over a long time, and the cores that there are."""

    running: float
    long: float
    cores: int

    def slowdown(self, threads: float, seconds: float = 0.0) -> float:
        """Return how much longer a process of so many threads takes than on an idle machine, where it takes so many seconds."""
        # What ran in the last minute says little of what will run in an hour.
        return max(1.0, ((self.running if seconds < LONG else self.long) + threads) / self.cores)


@dataclass(frozen=True)
class Range:
    """Seconds: the likeliest, and the bounds of an interval meant to contain four in five executions."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Return the range of so many as long."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


def predict(samples: Sequence[Sample], work: float, *, start: float, threads: float, load: Load) -> Range:
    """Return the seconds that `work` takes. `start`: see WorkHook; `threads`: cores that it computes on; at least one sample is needed."""
    if all(sample.accelerated for sample in samples):
        return _spread([_scaled(sample.wall_seconds, start, sample.work, work) for sample in samples], samples, work)
    measured = [sample for sample in samples if not sample.accelerated]
    chosen = _nearest(measured, work)
    least = min(start, *(sample.cpu_seconds for sample in measured))
    processor = _spread([_scaled(sample.cpu_seconds, least, sample.work, work) for sample in chosen], chosen, work)
    busy = utilization(measured, threads)
    # Until its work begins, an execution loads libraries, which no second core helps with.
    idle = Range(*(min(one, least) + max(0.0, one - least) / busy for one in (processor.low, processor.likely, processor.high)))
    slower = load.slowdown(busy, idle.likely)
    low = max(idle.low / 4, idle.low - WAITING / 4)
    return Range(low, idle.likely * slower, idle.high * slower * min(slower, MUCH_BUSIER) + (WAITING + least / 2) * slower)


def utilization(samples: Sequence[Sample], threads: float) -> float:
    """Return how many cores such executions keep busy on an idle machine.

    Of one core, it is what the least disturbed of them did: a short stage waits for files and processes. Of several, most of them: if every
    execution shared the machine, none of them shows it.
    """
    shares = sorted(sample.cpu_seconds / sample.wall_seconds for sample in samples if sample.wall_seconds)
    seen = shares[round(0.9 * (len(shares) - 1))] if shares else 1.0
    return min(max(seen, ASSUMED_UTILIZATION * threads), threads) if threads > 1 else min(max(seen, 0.3), 1.0)


def _scaled(seconds: float, start: float, before: float, work: float) -> float:
    rest = max(seconds - start, 0.05 * seconds)
    return start + rest * (work / before if before else 1.0)


def _nearest(samples: Sequence[Sample], work: float) -> list[Sample]:
    by_distance = sorted(samples, key=lambda sample: _distance(sample, work))
    most = _distance(by_distance[0], work) + NEIGHBOURHOOD
    return [sample for sample in by_distance[:NEAREST] if _distance(sample, work) <= most]


def _distance(sample: Sample, work: float) -> float:
    return abs(math.log(max(work, 1.0) / max(sample.work, 1.0)))


def _spread(seconds: Sequence[float], samples: Sequence[Sample], work: float) -> Range:
    logs, count = [math.log(max(one, 1e-3)) for one in seconds], len(seconds)
    variance = statistics.variance(logs) if count > 1 else 0.0
    variance = ((count - 1) * variance + PRIOR_WEIGHT * PRIOR_SPREAD**2) / (count - 1 + PRIOR_WEIGHT)
    width = COVERED * math.sqrt(variance * (1 + 1 / count)) + SPREAD_BY_DISTANCE * min(_distance(one, work) for one in samples)
    likely = math.exp(statistics.median(logs))
    return Range(likely * math.exp(-width), likely, likely * math.exp(width))
