"""The order of rows when sources have weights: a function of (seed, position, phases, rows of each source) and nothing else.

In each phase the sources follow a pattern of 65,536 positions that repeats. A source with c of them takes the positions at which
(j + 1/2) / c, j from 0, sorts among those of all sources: evenly spread, as in stride scheduling (Waldspurger and Weihl 1995).

Guarantee: every source has its own endless epochs, each shuffled anew; within an epoch each of its rows comes once, regardless of the other
sources and weights are. In any interval of a phase, a source of share w among k sources gets its share to within 1 + w k rows, so every
batch is balanced. Any position can be computed directly: resuming needs no saved iterator, only seed and step.
Cost: two sorted orders of rows are kept per source, and 65,536 positions of each phase's pattern.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.shards.schema import ShardError
from model.loading.mixture_config import PARTS, MixturePhase, mixture_problem
from model.loading.order import Indices, sample_order


@dataclass(frozen=True)
class PhasePattern:
    """A phase in positions: where it begins and ends, its pattern (ordinals of sources) and each source's positions in the pattern."""

    begin: int
    end: int | None
    pattern: Indices
    positions: tuple[Indices, ...]

    def count_before(self, position: int, source: int) -> int:
        """How many positions of this phase before `position` belong to the source."""
        repeats, rest = divmod(max(0, (position if self.end is None else min(position, self.end)) - self.begin), PARTS)
        return repeats * len(self.positions[source]) + int(np.searchsorted(self.positions[source], rest))


class MixtureOrder:
    """Which row comes at each position."""

    def __init__(self, seed: int, phases: Sequence[MixturePhase], sequences: int, rows: Mapping[str, int]) -> None:
        """`sequences`: in the whole of training. `rows`: of each source, in the order of the shards.

        Raise ShardError if the phases do not fit the shards.
        """
        if problem := mixture_problem(phases, rows):
            raise ShardError(problem)
        self._seed, self._names = seed, tuple(rows)
        self._rows = tuple(rows.values())
        self._firsts: list[int] = np.cumsum([0, *self._rows[:-1]]).tolist()
        ends = [round(phase.until * sequences) for phase in phases[:-1]]
        bounds = zip([0, *ends], [*ends, None], phases, strict=True)
        self._patterns = [_pattern(begin, end, phase, self._names) for begin, end, phase in bounds]
        self._epoch = lru_cache(maxsize=2 * len(rows))(sample_order.__wrapped__)

    def indices(self, position: int, size: int) -> Indices:
        """The rows at `size` positions from `position` (from 0) on; int64 [size]."""
        if size < 1 or position < 0:
            raise ValueError(f"size={size}, position={position}: a batch has at least 1 row, positions count from 0")
        parts = []
        for phase in self._patterns:
            begin, end = max(position, phase.begin), position + size if phase.end is None else min(position + size, phase.end)
            if begin < end:
                which = phase.pattern[np.arange(begin - phase.begin, end - phase.begin) % PARTS]
                rows = np.empty(end - begin, dtype=np.int64)
                for source in np.unique(which).tolist():
                    here = np.flatnonzero(which == source)
                    rows[here] = self._rows_of(source, self.count_before(begin, source) + np.arange(len(here)))
                parts.append(rows)
        return np.concatenate(parts)

    def count_before(self, position: int, source: int) -> int:
        """How many positions before `position` belong to the source."""
        return sum(phase.count_before(position, source) for phase in self._patterns)

    def epochs(self, sequences: int) -> dict[str, float]:
        """How many epochs of each source the first `sequences` positions make."""
        return {
            name: self.count_before(sequences, source) / self._rows[source] for source, name in enumerate(self._names) if self._rows[source]
        }

    def _rows_of(self, source: int, numbers: Indices) -> Indices:
        epochs, within = np.divmod(numbers, self._rows[source])
        rows = np.empty(len(numbers), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            same = epochs == epoch
            rows[same] = self._epoch(self._seed, epoch, self._rows[source], self._names[source])[within[same]]
        rows += self._firsts[source]
        return rows


def _pattern(begin: int, end: int | None, phase: MixturePhase, names: Sequence[str]) -> PhasePattern:
    parts = phase.parts()
    counts = [parts.get(name, 0) for name in names]
    times = np.concatenate([(2 * np.arange(count) + 1) / (count or 1) for count in counts])
    pattern = np.repeat(np.arange(len(names)), counts)[np.argsort(times, kind="stable")]
    return PhasePattern(begin, end, pattern, tuple(np.flatnonzero(pattern == source) for source in range(len(names))))
